// A browser that looks at the dashboard: `ACTION URL ...`. Says what it sees as lines of JSON.
//   live URL ROW WORD      says when the page is live, then waits until the row's state is that word
//   still URL ROW          without JavaScript: the row's state, and whether the page is loaded again by itself
//   lost URL               says when the page is live, when it is not, and when it is again
//   full URL               says why the page is not live, when it is loaded again by itself, and when it is live
//   act URL ROW VERB       presses that button, says what the dialog says, confirms with a reason, says what came of it
//   cut URL ROW VERB      the same, where something between answers in its own words: says what the dialog then says
//   meanwhile URL ROW VERB  presses that button, waits until somebody else has set the server, and confirms twice
//   out URL NAME PASSWORD  says when the page is live for this user, and what it says when he is let in no more
//   wait URL SECONDS       where logins have to wait so long: what the page says, and whether it asks before and after
//   arrange URL            filters and sorts, and says which rows there are after each; then what a check's detail says
//   shots URL FOLDER NAME  pictures in three sizes and two themes, and what axe-core finds in each
const { chromium } = require('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];
const LIMIT = 240000;
const SIZES = [390, 1024, 1600];
const ROWS = 5;

const say = (what) => console.log(JSON.stringify(what));
const wordOf = (row) => `[data-row="${row}"] .state [data-c=word]`;

async function live(browser, [url, row, word]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('dialog', (dialog) => { wrong.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => request.url().startsWith(url) || wrong.push(`asks ${request.url()}`));
  await page.goto(url);
  await page.locator('#live[data-state=live]').waitFor();
  say({ before: await page.locator(wordOf(row)).textContent(), title: await page.title() });
  await page.locator(wordOf(row)).getByText(word, { exact: true }).waitFor();
  const said = page.locator('#said', { hasText: row });
  await said.waitFor({ state: 'attached' });
  say({
    after: await page.locator(wordOf(row)).textContent(),
    look: await page.locator(`tr[data-row="${row}"]`).getAttribute('data-look'),
    said: await said.textContent(),
    event: await page.locator('[data-list=events] li').first().textContent(),
    wrong,
  });
}

async function act(browser, [url, row, verb]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  await page.goto(url);
  const button = page.getByRole('button', { name: `${verb} ${row}` });
  // By the keyboard alone.
  await button.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: `${verb} ${row}` });
  await dialog.waitFor();
  say({ will: await dialog.locator('li').allTextContents(), last: await dialog.getByRole('alert').first().textContent() });
  await page.keyboard.type('kernel update');
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  const cell = (name) => page.locator(`tr[data-row="${row}"] [data-c=${name}]`);
  await cell('word').getByText(verb.toLowerCase(), { exact: true }).waitFor();
  say({ word: await cell('word').textContent(), left: await cell('left').textContent(), why: await cell('why').textContent() });
  await cell('left').getByText('no sessions left').waitFor();
  say({ left: await cell('left').textContent(), focus: await page.evaluate(() => document.activeElement.ariaLabel), wrong });
}

async function cut(browser, [url, row, verb]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.route('**/state', (route) => route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>no</h1>' }));
  await page.goto(url);
  await page.getByRole('button', { name: `${verb} ${row}` }).click();
  await page.locator('#act-yes').click();
  const told = page.locator('#act-error', { hasText: 'Not done' });
  await told.waitFor();
  say({ told: await told.textContent() });
}

async function meanwhile(browser, [url, row, verb]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  let posts = 0;
  page.on('request', (request) => { posts += request.method() === 'POST'; });
  await page.goto(url);
  await page.getByRole('button', { name: `${verb} ${row}` }).click();
  const dialog = page.getByRole('dialog', { name: `${verb} ${row}` });
  const told = async (text) => {
    const wrong = page.locator('#act-error', { hasText: text });
    await wrong.waitFor({ state: 'attached' });
    return { told: await wrong.textContent(), will: await dialog.locator('li').allTextContents(), posts };
  };
  say(await told(''));
  say(await told('Meanwhile'));
  await page.keyboard.press('Enter');
  say(await told('Press again'));
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  say({ posts });
}

// How often the page has asked to be told of changes; its clock can be moved.
async function counted(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  let asked = 0;
  page.on('request', (request) => { asked += request.url().endsWith('/live'); });
  await page.clock.install();
  const after = async (seconds) => {
    await page.clock.fastForward(seconds * 1000);
    await page.evaluate(() => fetch('healthz').then((health) => health.text()));
    return asked;
  };
  return { page, after, text: () => page.locator('#live-text').textContent() };
}

async function out(browser, [url, username, password]) {
  const context = await browser.newContext({ httpCredentials: { username, password } });
  const { page, after, text } = await counted(context);
  await page.goto(url);
  await page.locator('#live[data-state=live]').waitFor();
  say({ state: 'live', link: await page.locator('#live-again').isVisible() });
  const link = page.locator('#live-again');
  await link.waitFor();
  const asked = await after(0);
  say({ text: await text(), link: await link.evaluate((a) => a.href), stops: await after(60) === asked });
}

async function wait(browser, [url, seconds]) {
  const { page, after, text } = await counted(await browser.newContext());
  await page.route('**/live', (route) => route.fulfill({ status: 429, headers: { 'retry-after': seconds }, body: 'no' }));
  await page.goto(url);
  await page.locator('#live-text', { hasText: 'trying again in' }).waitFor();
  const asked = await after(0);
  const before = await after(seconds / 2);
  say({ told: await text(), waits: before === asked, comesAgain: await after(Number(seconds)) > before });
}

async function arrange(browser, [url]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(url);
  const rows = () => page.locator('.pool tbody tr:visible').evaluateAll((all) => all.map((row) => row.dataset.row));
  const head = page.getByRole('columnheader', { name: 'State' });
  say({ rows: await rows() });
  await page.getByLabel('Filter').fill('S1 up');
  say({ rows: await rows(), found: await page.locator('#found').textContent() });
  await page.getByLabel('Filter').fill('');
  await page.getByLabel('Show').selectOption('not up');
  say({ rows: await rows() });
  await page.getByLabel('Show').selectOption('all servers');
  await head.getByRole('button').click();
  say({ rows: await rows(), sort: await head.getAttribute('aria-sort') });
  // What was chosen outlives the page.
  await page.reload();
  say({ rows: await rows(), sort: await head.getAttribute('aria-sort') });
  const check = page.locator('.pool tbody tr .tip button').last();
  const detail = page.locator('.pool tbody tr .tip .detail').last();
  say({ hidden: await detail.isHidden() });
  await check.focus();
  await detail.waitFor();
  const box = await detail.boundingBox();
  const seen = await page.evaluate(({ x, y }) => document.elementFromPoint(x, y)?.className, { x: box.x + 5, y: box.y + box.height - 5 });
  await page.keyboard.press('Escape');
  await detail.waitFor({ state: 'hidden' });
  say({ detail: await detail.textContent(), seen });
}

// What is shown when lbd has gone, until it is back.
async function lost(browser, [url]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(url);
  await page.locator('#live[data-state=live]').waitFor();
  say({ state: 'live' });
  await page.locator('#live[data-state=stale]').waitFor();
  // Wherever somebody looks.
  await page.setViewportSize({ width: 800, height: 300 });
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  const { y } = await page.locator('#live').boundingBox();
  say({ state: 'stale', text: await page.locator('#live-text').textContent(), inSight: y >= 0 && y < 300 });
  await page.locator('#live[data-state=live]').waitFor();
  say({ state: 'live' });
}

async function full(browser, [url]) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(url);
  const why = page.locator('#live-text', { hasText: 'as may be' });
  await why.waitFor();
  say({ state: await page.locator('#live').getAttribute('data-state'), text: await why.textContent() });
  await page.waitForEvent('load');
  say({ again: true });
  await page.locator('#live[data-state=live]').waitFor();
  say({ state: 'live' });
}

async function still(browser, [url, row]) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(url);
  const seen = { word: await page.locator(wordOf(row)).textContent(), tools: await page.locator('#tools').isVisible() };
  await page.waitForEvent('load');
  say({ ...seen, again: true });
}

// Of rows of a kind only so many are left: axe-core takes a minute over hundreds, and finds in all what it finds in one;
// and a picture of all of them is a hundred thousand pixels high on a phone.
function thin(most) {
  const kinds = {};
  for (const row of document.querySelectorAll('.pool tbody tr')) {
    const { look, admin } = row.dataset;
    const kind = [look, admin, row.querySelector('[data-c=set]').textContent !== '', row.cells[0].textContent.length > 60];
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    if (kinds[kind] > most) row.remove();
  }
}

async function shots(browser, [url, folder, name]) {
  const axe = require('fs').readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
  for (const colorScheme of ['light', 'dark']) {
    for (const width of SIZES) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: width < 500 ? 844 : 900 } });
      const page = await context.newPage();
      page.setDefaultTimeout(LIMIT);
      await page.goto(url);
      await page.waitForSelector('#live[data-state=live]').catch(() => {});
      const overflows = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
      await page.evaluate(thin, ROWS);
      const path = `${folder}/${name}-${width}-${colorScheme}.png`;
      await page.screenshot({ path, fullPage: true });
      const button = page.locator('[data-act=drain]:visible').first();
      if (name.endsWith('dialog')) {
        await button.click();
        await page.screenshot({ path });
      }
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      say({
        path,
        overflows,
        found: violations.map((v) => ({
          id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => `${n.html} ${n.failureSummary}`),
        })),
      });
      await context.close();
    }
  }
}

(async () => {
  const [action, ...args] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS });
  try {
    await { live, lost, full, still, act, cut, meanwhile, out, wait, arrange, shots }[action](browser, args);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
