'use strict';
// What the page can do beyond being read: filter, unfold, copy, change its colours. It reads the same without.
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const say = (text) => { $('said').textContent = ''; requestAnimationFrame(() => { $('said').textContent = text; }); };
  for (const e of all('[data-script]')) e.hidden = false;

  // Colours: those of the system, unless the reader chose others. A page that may store nothing forgets the choice.
  const system = matchMedia('(prefers-color-scheme: dark)');
  const stored = {
    get: () => { try { return localStorage.getItem('restore-drill-scheme'); } catch { return null; } },
    set: (scheme) => { try { localStorage.setItem('restore-drill-scheme', scheme); } catch { /* kept until the page is closed */ } },
  };
  const isDark = () => (document.documentElement.dataset.scheme || (system.matches ? 'dark' : 'light')) === 'dark';
  const paint = (scheme) => {
    if (scheme === 'dark' || scheme === 'light') document.documentElement.dataset.scheme = scheme;
    $('scheme').setAttribute('aria-pressed', String(isDark()));
  };
  const toggleScheme = () => { const scheme = isDark() ? 'light' : 'dark'; paint(scheme); stored.set(scheme); };
  paint(stored.get());
  system.addEventListener('change', () => paint());
  $('scheme').addEventListener('click', toggleScheme);

  // Folds.
  const reveal = (e) => { for (let d = e.closest('details'); d; d = d.parentElement.closest('details')) d.open = true; };
  let folds = null; // as the reader left them, while something else has unfolded them
  const unfold = (details) => {
    folds ??= new Map();
    for (const d of details) if (!d.open) { folds.set(d, false); d.open = true; }
  };
  const refold = () => { for (const [d, open] of folds ?? []) d.open = open; folds = null; };
  addEventListener('beforeprint', () => unfold(all('main details')));
  addEventListener('afterprint', refold);
  const toggleFolds = () => {
    const details = all('main details');
    const open = details.some((d) => !d.open);
    for (const d of details) d.open = open;
    folds = null;
    say(open ? 'Everything is unfolded' : 'Everything is folded');
  };

  // Links to entries: what a link leads to is unfolded, and the address follows what the reader unfolds.
  const follow = () => {
    let e = null;
    try { e = $(decodeURIComponent(location.hash.slice(1))); } catch { /* no link of ours */ }
    if (!e) return;
    if (e.closest('[hidden]')) clear();
    reveal(e);
    e.scrollIntoView({ block: 'start' });
  };
  addEventListener('hashchange', follow);
  document.addEventListener('click', (event) => {
    const details = event.target.closest('summary')?.parentElement;
    if (details?.id && !details.open) history.replaceState(null, '', '#' + details.id);
    // The same link again is no change of the address.
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) follow();
  });

  // The filter. Entries are what has a status, or is in a list of which each has; one that holds others is shown when one of them is.
  const ENTRY = '[data-status], [data-each] > li';
  const input = $('filter');
  const chips = all('.chip');
  let entries = null;
  const index = () => entries ??= all(ENTRY, document.querySelector('main')).map((e) => ({
    element: e, text: e.textContent.toLowerCase(), status: e.dataset.status ?? e.parentElement.dataset.each, within: e.parentElement.closest('[data-status]'),
    heading: (e.matches('details') ? e.querySelector('summary') : e).textContent.toLowerCase(),
  }));
  function apply() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(chips.filter((c) => c.getAttribute('aria-pressed') === 'true').map((c) => c.dataset.status));
    const filtering = words.length > 0 || wanted.size > 0;
    document.body.classList.toggle('filtering', filtering);
    const holds = (text) => words.every((w) => text.includes(w));
    const shown = new Set(), whole = new Set();
    let count = 0, total = 0;
    for (const e of index()) {
      const right = wanted.size === 0 || wanted.has(e.status);
      if (right && holds(e.text)) shown.add(e.element);
      if (words.length > 0 && holds(e.heading)) whole.add(e.element);
    }
    for (const e of index()) if (e.within && shown.has(e.element)) shown.add(e.within);
    for (const e of index()) {
      const show = !filtering || shown.has(e.element) || (whole.has(e.within) && (wanted.size === 0 || wanted.has(e.status)));
      if (e.element.hidden === show) e.element.hidden = !show;
      total++;
      if (show) count++;
    }
    const hits = filtering ? index().filter((e) => !e.element.hidden).map((e) => e.element) : [];
    refold();
    if (filtering) {
      // Groups that hold a hit are unfolded; the hits themselves only where they are few.
      const groups = new Set();
      for (const e of hits) for (let d = e.parentElement.closest('details'); d; d = d.parentElement.closest('details')) groups.add(d);
      unfold(groups);
      if (hits.length <= 12) unfold(hits.filter((e) => e.matches('details')));
    }
    const live = new Set(hits.map((e) => e.closest('section')));
    for (const s of all('main > section')) s.hidden = filtering && !live.has(s);
    for (const e of all('main details:not([data-status]), main section > figure, main section > .scroll')) {
      if (!e.closest('[data-status]')) e.classList.toggle('filtered', filtering && !hits.some((hit) => e.contains(hit)));
    }
    $('matches').textContent = filtering ? `${count.toLocaleString('en')} of ${total.toLocaleString('en')} entries` : '';
  }
  function clear() {
    input.value = '';
    for (const c of chips) c.setAttribute('aria-pressed', 'false');
    apply();
  }
  let waiting = 0;
  input.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
  input.addEventListener('keydown', (event) => { if (event.key === 'Enter') { clearTimeout(waiting); apply(); } });
  for (const c of chips) c.addEventListener('click', () => {
    c.setAttribute('aria-pressed', String(c.getAttribute('aria-pressed') !== 'true'));
    apply();
  });

  // Copying.
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not from this address: the old way */ }
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'hidden';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  };
  for (const e of all('[data-copy]')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy';
    button.setAttribute('aria-label', 'Copy ' + e.dataset.copy);
    button.title = 'Copy';
    button.append($('i-copy-button').content.cloneNode(true));
    button.addEventListener('click', async () => {
      const done = await copy(e.textContent.trim());
      say(done ? 'Copied' : 'It could not be copied');
      button.classList.toggle('done', done);
      setTimeout(() => button.classList.remove('done'), 1500);
    });
    if (e.matches('pre')) {
      const box = document.createElement('div');
      box.className = 'boxed';
      e.replaceWith(box);
      box.append(e, button);
    } else {
      e.after(button);
    }
  }

  // Keys.
  const step = (by) => {
    const list = all('main [data-status="failed"], main [data-status="unknown"]').filter((e) => e.checkVisibility());
    if (list.length === 0) return say('Nothing here failed or is unknown');
    const at = list.findLastIndex((e) => e === document.activeElement || e.contains(document.activeElement));
    const next = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length];
    const target = next.matches('details') ? next.querySelector('summary') : next;
    if (target === next) next.tabIndex = -1;
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: 'center' });
  };
  const keys = { '/': () => { input.focus(); input.select(); }, j: () => step(1), k: () => step(-1), x: toggleFolds, d: toggleScheme, '?': () => $('help').showModal() };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' && !$('help').open) { clear(); input.blur(); return; }
    if (event.target.matches('input, textarea') || $('help').open) return;
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  $('keys').addEventListener('click', () => $('help').showModal());
  $('close').addEventListener('click', () => $('help').close());

  // Where the reader is.
  const links = new Map(all('nav a').map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((changes) => {
    for (const { isIntersecting, target } of changes) if (isIntersecting) {
      for (const [id, a] of links) if (id === target.id) a.setAttribute('aria-current', 'true'); else a.removeAttribute('aria-current');
    }
  }, { rootMargin: '-15% 0px -80% 0px' });
  for (const id of links.keys()) if ($(id)) seen.observe($(id));

  follow();
})();
