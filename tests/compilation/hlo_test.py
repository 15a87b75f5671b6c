"""The kernels of a compiled program's loops."""

import pytest

from bigru_jax.compilation import hlo

# What XLA writes, without layouts and metadata that nothing reads.
PROGRAM = r"""
HloModule jit_f, is_scheduled=true

%fused_add (param_0: f32[8]) -> f32[8] {
  %param_0 = f32[8]{0} parameter(0)
  ROOT %add.1 = f32[8]{0} add(%param_0, %param_0)
}

%inner (arg: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg = (s32[], f32[8]{0:T(128)}) parameter(0)
  %gte = f32[8]{0} get-tuple-element(%arg), index=1
  %fusion.1 = f32[8]{0} fusion(%gte), kind=kLoop, calls=%fused_add
  ROOT %tuple.1 = (s32[], f32[8]{0}) tuple(%gte, %fusion.1)
}

%captured (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %fusion.2 = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused_add
  ROOT %fusion.3 = f32[8]{0} fusion(%fusion.2), kind=kLoop, calls=%fused_add
}

%body (arg.1: (s32[], /*index=1*/f32[8])) -> (s32[], f32[8]) {
  %arg.1 = (s32[], /*index=1*/f32[8]{0}) parameter(0)
  %gte.1 = f32[8]{0} get-tuple-element(%arg.1), index=1
  %bitcast.1 = f32[2,4]{1,0} bitcast(%gte.1)
  %gemm = (f32[2,4]{1,0}, s8[64]{0}) custom-call(%bitcast.1), \
custom_call_target="__cublas$gemm"
  %both = (f32[8]{0}, f32[8]{0}) fusion(%gemm), kind=kLoop, calls=%fused_add
  %copy-start = (f32[8]{0}, f32[8]{0}) copy-start(%gte.1)
  %copy-done = f32[8]{0} copy-done(%copy-start)
  %call.1 = f32[8]{0} call(%copy-done), to_apply=%captured
  ROOT %tuple.2 = (s32[], f32[8]{0}) tuple(%gte.1, %call.1)
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  %fusion.4 = f32[8]{0} fusion(%p), kind=kLoop, calls=%fused_add
  %while.1 = (s32[], f32[8]{0}) while(%fusion.4), condition=%c, \
body=%body, metadata={op_name="jit(f)/while"}, \
backend_config={"known_trip_count":{"n":"5"}}
  %while.2 = (s32[], f32[8]{0}) while(%while.1), condition=%c, body=%outer
  ROOT %r = f32[8]{0} get-tuple-element(%while.2), index=1
}

%outer (arg.2: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg.2 = (s32[], f32[8]{0}) parameter(0)
  %while.3 = (s32[], f32[8]{0}) while(%arg.2), condition=%c, \
body=%inner, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %copy.1 = (s32[], f32[8]{0}) copy(%while.3)
}
""".replace('\\\n', '')


def test_kernels_are_counted_through_calls_and_inner_loops():
  assert hlo.loops(PROGRAM) == [
    # A matrix product, a fusion of two results, a copy, two of the call.
    hlo.Loop('jit(f)/while', 5, 5),
    # Three times one kernel, and a copy.
    hlo.Loop('', None, 4),
  ]


def test_a_loop_over_time_holds_a_part_of_the_steps():
  assert hlo.kernels_per_step(PROGRAM, steps=5) == [5]
  assert hlo.kernels_per_step(PROGRAM, steps=22, unroll=4) == [1.25]
  assert hlo.kernels_per_step(PROGRAM, steps=128) == []


def test_text_that_is_no_program_is_refused():
  with pytest.raises(ValueError, match='no ENTRY computation'):
    hlo.loops('module @jit_f {}')


def test_collectives_are_counted_by_kind_with_their_bytes():
  reduced = PROGRAM.replace(
    '  %fusion.4 =',
    '  %start = ((f32[8]{0}), f32[8]{0}) all-to-all-start(%p)\n'
    '  %done = f32[8]{0} all-to-all-done(%start)\n'
    '  %sum = (bf16[3,5]{1,0}, f32[]) all-reduce(%p, %p), to_apply=%add\n'
    '  %sum.1 = pred[7]{0} all-reduce(%p), to_apply=%add\n'
    '  %fusion.4 =',
  )
  assert hlo.collectives(PROGRAM) == []
  assert hlo.collectives(reduced) == [
    hlo.Collective('all-reduce', 2, 2 * 15 + 4 + 7),
    hlo.Collective('all-to-all', 1, 32),
  ]
  in_loop = PROGRAM.replace('%gemm =', '%sum = f32[] all-reduce(%x)\n  %gemm =')
  with pytest.raises(ValueError, match='collective within a loop: all-reduce'):
    hlo.collectives(in_loop)


def test_dtypes_and_called_functions_are_listed():
  assert hlo.dtypes(PROGRAM) == {'f32', 's32', 's8'}
  assert hlo.custom_calls(PROGRAM) == {'__cublas$gemm'}
  product = (
    '%f (a.1: bf16[2,3]) -> f32[2,4] {\n'
    '  %b = bf16[3,4]{1,0} constant({...})\n'
    '  ROOT %c = f32[2,4]{1,0} dot(%a.1, %b), lhs_contracting_dims={1}\n}'
  )
  assert hlo.dot_dtypes(product) == {'bf16'}
  called = product.replace(' dot(', ' custom-call(').replace(
    'lhs_contracting_dims={1}', 'custom_call_target="__cublas$lt$matmul"'
  )
  assert hlo.dot_dtypes(called) == {'bf16'}
  assert hlo.dot_dtypes(called.replace('__cublas', 'other')) == set()
