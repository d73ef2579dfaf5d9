// The colours that were chosen here before, set before anything is drawn. What
// is kept may have been written by any site of this origin.
'use strict';
{
  const root = document.documentElement;
  const kept = () => { try { return localStorage.getItem('regfs-theme'); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem('regfs-theme', theme); } catch { /* then it is for this visit */ } };
  if (['light', 'dark'].includes(kept())) root.dataset.theme = kept();

  addEventListener('DOMContentLoaded', () => {
    document.getElementById('theme').addEventListener('click', () => {
      const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
      root.dataset.theme = dark ? 'light' : 'dark';
      keep(root.dataset.theme);
    });
  });
}
