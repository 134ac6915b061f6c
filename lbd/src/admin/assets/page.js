"use strict";
// Keeps the page as lbd says that it is. Everything that comes is put into the page as text or as the value of an
// attribute that the page itself names, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);

  // Places: row -> cell -> the elements that show it, each with the attribute that it goes into, or none for its text.
  const places = new Map();
  const place = (row, cell, element, attribute) => {
    if (!places.has(row)) places.set(row, new Map());
    const cells = places.get(row);
    if (!cells.has(cell)) cells.set(cell, []);
    cells.get(cell).push([element, attribute]);
  };
  const each = (element, found) => {
    if (element.dataset.c) found(element.dataset.c, null);
    for (const pair of (element.dataset.a || "").split(" ").filter(Boolean)) {
      const [attribute, cell] = pair.split(":");
      found(cell, attribute);
    }
  };
  const put = (element, attribute, text) => {
    if (attribute) element.setAttribute(attribute, text);
    else element.textContent = text;
  };
  for (const element of document.querySelectorAll("[data-c], [data-a]")) {
    if (element.closest("[data-list]")) continue;
    const row = element.closest("[data-row]").dataset.row;
    each(element, (cell, attribute) => place(row, cell, element, attribute));
  }

  function fill(row, cells) {
    for (const [cell, text] of Object.entries(cells)) {
      for (const [element, attribute] of places.get(row)?.get(cell) ?? []) put(element, attribute, text);
    }
  }

  // A list is made anew from its template.
  function fillList(name, lines) {
    const list = document.querySelector(`[data-list="${name}"]`);
    const template = document.querySelector(`template[data-for="${name}"]`);
    list.replaceChildren(...lines.map((cells) => {
      const line = template.content.firstElementChild.cloneNode(true);
      for (const element of [line, ...line.querySelectorAll("[data-c], [data-a]")]) {
        each(element, (cell, attribute) => put(element, attribute, cells[cell] ?? ""));
      }
      return line;
    }));
  }

  // What is new among the events is said to those who listen.
  let latest = document.querySelector("[data-list=events] time")?.dateTime ?? "";
  function say(events) {
    const known = events.findIndex((event) => event.at === latest);
    const fresh = known < 0 ? events : events.slice(0, known);
    if (events.length) latest = events[0].at;
    if (fresh.length) $("said").textContent = fresh.slice(0, 3).map((e) => `${e.what}: ${e.text}`).join(". ");
  }

  function apply(update) {
    if (update.layout !== document.documentElement.dataset.layout) return again();
    for (const [row, cells] of Object.entries(update.rows)) fill(row, cells);
    for (const [name, lines] of Object.entries(update.lists)) fillList(name, lines);
    if (update.lists.events) say(update.lists.events);
    arrange();
    document.dispatchEvent(new Event("told"));
  }

  // There are other servers than the page has rows for. Nothing is taken from under somebody's hands.
  function again() {
    if (!document.querySelector("dialog[open]")) location.reload();
  }

  // --- The stream ---------------------------------------------------------------------------------------------------
  const SILENT = 10000;
  const LATER = 5000;
  let source;
  let heard = performance.now();
  let told = document.querySelector("#live [data-c=clock]").textContent;

  function show(state, text) {
    if ($("live").dataset.state === state && $("live-text").textContent === text) return;
    $("live").dataset.state = state;
    $("live-text").textContent = text;
    document.body.classList.toggle("stale", state === "stale");
  }
  function stale(why) {
    show("stale", `${why}. This is how it was at ${told}; trying again.`);
  }

  function listen() {
    source = new EventSource("live");
    source.onmessage = (message) => {
      const update = JSON.parse(message.data);
      heard = performance.now();
      told = update.rows.daemon?.clock ?? told;
      show("live", "live");
      apply(update);
    };
    source.onerror = async () => {
      // The browser tries again by itself, unless it was refused.
      if (source.readyState !== EventSource.CLOSED) return stale("Connection lost");
      const refused = await refusal();
      if (refused?.status === 503) return full();
      if ([401, 403].includes(refused?.status)) return out();
      if (refused?.status !== 429) stale("Connection lost");
      else show("stale", `Too many logins failed. This is how it was at ${told}; trying again in ${refused.after} s.`);
      heard = performance.now() + (refused?.after ?? 0) * 1000;
      setTimeout(listen, refused?.after ? refused.after * 1000 : LATER);
    };
  }
  const silent = setInterval(() => performance.now() - heard > SILENT && stale("Nothing heard"), 1000);

  async function refusal() {
    try {
      const response = await fetch("live", { signal: AbortSignal.timeout(LATER) });
      await response.body?.cancel();
      return { status: response.status, after: Number(response.headers.get("retry-after")) };
    } catch { return null; }
  }

  // Whom the page was for is let in no more: asking again would be a failed login each time.
  function out() {
    clearInterval(silent);
    show("stale", `You are no longer let in. This is how it was at ${told}.`);
    $("live-again").hidden = false;
  }

  // As many are told of changes as may be: the page is what it is without a script.
  function full() {
    const { refresh } = document.documentElement.dataset;
    clearInterval(silent);
    show("still", `as of ${told}, every ${refresh}s: as many dashboards are live as may be`);
    setInterval(again, refresh * 1000);
  }
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  // --- Filter and sort ----------------------------------------------------------------------------------------------
  const rows = [...document.querySelectorAll(".pool tbody tr")];
  const order = new Map(rows.map((row, at) => [row, at]));
  const pools = [...document.querySelectorAll(".pool")];
  // What was chosen lives as long as the tab.
  const chosen = (() => {
    try { return JSON.parse(sessionStorage.getItem("lbd")) ?? {}; } catch { return {}; }
  })();
  function choose(choice) {
    Object.assign(chosen, choice);
    try { sessionStorage.setItem("lbd", JSON.stringify(chosen)); } catch { /* as long as the page, then */ }
  }

  function wanted(row) {
    const about = `${row.dataset.row} ${row.dataset.look} ${row.cells[0].textContent}`.toLowerCase();
    const words = (chosen.filter ?? "").toLowerCase().split(/\s+/);
    if (!words.every((word) => about.includes(word))) return false;
    if (chosen.show === "ill") return row.dataset.look !== "up";
    if (chosen.show === "busy") return row.dataset.by.split(" ")[1] !== "0";
    return true;
  }

  // As configured; by name; or by a number: the worst state, or the most of anything else, comes first.
  function compare(one, other) {
    const { sort, turned } = chosen;
    const by = (row) => Number(row.dataset.by.split(" ")[sort]);
    let sign = 0;
    if (sort === "name") sign = one.dataset.row.localeCompare(other.dataset.row, "en", { numeric: true });
    else if (sort) sign = sort === "0" ? by(one) - by(other) : by(other) - by(one);
    return (turned ? -sign : sign) || order.get(one) - order.get(other);
  }

  function arrange(asked = false) {
    let shown = 0;
    for (const row of rows) {
      const want = wanted(row);
      shown += want;
      if (row.hidden === want) row.hidden = !want;
    }
    const found = shown < rows.length ? `${shown} of ${rows.length}` : "";
    if ($("found").textContent !== found) $("found").textContent = found;
    for (const pool of pools) {
      pool.hidden = found !== "" && !pool.querySelector("tbody tr:not([hidden])");
      // Nothing moves under somebody's hands, unless they asked for it.
      if (!asked && pool.matches(":hover, :focus-within")) continue;
      const body = pool.querySelector("tbody");
      const sorted = [...body.rows].sort(compare);
      if (sorted.some((row, at) => row !== body.rows[at])) body.append(...sorted);
    }
  }

  function mark() {
    for (const head of document.querySelectorAll("th[data-sort]")) {
      const { sort } = head.dataset;
      const rises = sort === "0" || sort === "name";
      const is = sort === chosen.sort;
      if (is) head.ariaSort = rises !== Boolean(chosen.turned) ? "ascending" : "descending";
      else head.removeAttribute("aria-sort");
    }
  }

  for (const head of document.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const { sort } = head.dataset;
      if (chosen.sort !== sort) choose({ sort, turned: false });
      else if (!chosen.turned) choose({ turned: true });
      else choose({ sort: undefined, turned: false });
      mark();
      arrange(true);
    });
  }
  for (const name of ["filter", "show"]) {
    $(name).value = chosen[name] ?? "";
    $(name).addEventListener("input", () => {
      choose({ [name]: $(name).value });
      arrange(true);
    });
  }
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  $("tools").hidden = false;

  // What is shown on hover goes away on Escape, as long as the pointer or the focus stays.
  addEventListener("keydown", (event) => {
    document.body.classList.toggle("untold", event.key === "Escape");
  });

  mark();
  arrange(true);
  listen();
})();
