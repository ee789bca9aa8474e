// The theme is set before anything is drawn.
'use strict';
{
  let kept = null;
  try { kept = localStorage.getItem('theme'); } catch { /* the browser keeps nothing */ }
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
}
