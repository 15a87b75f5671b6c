// The page of a language model, which has neither answers nor texts.

document.querySelector('.skip').setAttribute('href', '#run');
for (const id of ['trust', 'examples', 'failures', 'scores', 'texts']) {
  hideSection(id);
}
drawTheme();
drawRun();
drawCurves();
document.title = $('title').textContent = data.top.title;
$('what').textContent = data.top.what;
$('made').textContent = data.top.made;
$('quality').querySelector('.prose').append(
  ...data.top.quality.map((text) => el('p', {}, text)));
