"use strict";
// Buttons that drain a server, put it into maint and make it ready again, on pages that carry a token. What they will
// do is said before they do it, from what the page knows by then.
(() => {
  const $ = (id) => document.getElementById(id);
  const token = document.querySelector("meta[name=lbd-token]").content;
  const dialog = $("act");
  const VERBS = { drain: "Drain", maint: "Maint", ready: "Ready" };
  let row, seen, admin, opener, isDone;

  const count = (text, one) => (text === "1" ? `1 ${one}` : `${text} ${one}s`);
  const line = (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  };

  // What is wanted of the server now, and who has it so.
  const held = () => ({ admin: row.dataset.admin, by: row.dataset.held });
  const inWords = ({ admin: now, by }) => (by ? `${now} now, ${by}` : `${now} now`);
  function isOverrun() {
    const now = held();
    return now.admin !== seen.admin || now.by !== seen.by;
  }

  function consequences() {
    const pool = row.closest(".pool");
    const [backend] = row.dataset.row.split("/");
    const { all, well } = pool.dataset;
    const isUp = row.dataset.look === "up";
    const now = row.querySelector("[data-c=sessions]").textContent;
    const sessions = count(now, "session");
    const isSticky = row.querySelector("[data-c=sticky]").textContent !== "";
    const after = Number(well) - (isUp ? 1 : 0);
    const stay = `${after} of ${count(all, "server")} of ${backend} ${after === 1 ? "stays" : "stay"} up.`;
    if (admin === "ready") {
      const at = row.dataset.admin === "drain" && row.dataset.look !== "down" ? "at once" : "as soon as its checks succeed";
      return { will: [`It takes new sessions again, ${at}.`, `${well} of ${count(all, "server")} of ${backend} are up now.`] };
    }
    const last = isUp && after === 0 && `It is the last server of ${backend} that is up: its clients will be refused.`;
    const finish = now === "0" ? "It has no sessions now." : `${sessions} will finish; none is cut.`;
    if (admin === "maint") {
      const kill = $("act-kill").checked && now !== "0";
      const end = kill ? `${sessions} will be closed at once: their clients see an error.` : finish;
      return { last, will: [end, "It takes none at all, whatever cookies say, and is not checked.", stay] };
    }
    const except = isSticky && !$("act-move").checked ? ", but from clients whose cookie names it" : "";
    return { last, isSticky, will: [finish, `It takes no new ones${except}.`, stay] };
  }

  function describe() {
    if (!dialog.open) return;
    const { last, will, isSticky } = consequences();
    if (row.dataset.held) will.unshift(`It is ${inWords(held())}. You overrule that.`);
    if (!isDone && !$("act-yes").disabled && isOverrun()) wrong(`Meanwhile it was set: it is ${inWords(held())}.`);
    if ($("act-last-text").textContent !== (last || "")) $("act-last-text").textContent = last || "";
    $("act-last").hidden = !last;
    $("act-will").replaceChildren(...will.map(line));
    $("act-kill").closest("label").hidden = admin !== "maint";
    $("act-move").closest("label").hidden = !(admin === "drain" && isSticky);
  }

  function wrong(text) {
    if ($("act-error").textContent !== text) $("act-error").textContent = text;
  }

  function open(button) {
    opener = button;
    isDone = false;
    row = button.closest("tr");
    seen = held();
    admin = button.dataset.act;
    $("act-title").textContent = $("act-yes").textContent = `${VERBS[admin]} ${row.dataset.row}`;
    $("act-form").reset();
    wrong("");
    $("act-yes").hidden = $("act-yes").disabled = false;
    $("act-no").textContent = "Cancel";
    dialog.showModal();
    describe();
    $("act-reason").focus();
  }

  async function ask() {
    const [backend, server] = row.dataset.row.split("/");
    const change = { admin, was: seen.admin };
    const reason = $("act-reason").value.trim();
    if (reason) change.reason = reason;
    if (admin === "drain" && $("act-move").checked) change.move_sticky = true;
    if (admin === "maint" && $("act-kill").checked) change.kill = true;
    const path = [backend, server].map(encodeURIComponent).join("/");
    const response = await fetch(`api/v1/servers/${path}/state`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-lbd-token": token },
      body: JSON.stringify(change),
      signal: AbortSignal.timeout(15000),
    });
    const answer = await response.json().catch(() => {
      throw new Error(`the answer is ${response.status} ${response.statusText}`.trim());
    });
    if (answer.error) throw new Error([answer.error.message, answer.error.hint].filter(Boolean).join(": "));
    return answer;
  }

  $("act-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isOverrun()) {
      seen = held();
      return wrong(`Meanwhile it was set: it is ${inWords(seen)}. Press again to overrule that.`);
    }
    $("act-yes").disabled = true;
    wrong("");
    try {
      const { not_kept: notKept } = await ask();
      isDone = true;
      if (!notKept) return dialog.close();
      wrong(`Done, but a restart of lbd would forget it: ${notKept}`);
      $("act-yes").hidden = true;
      $("act-no").textContent = "Close";
    } catch (error) {
      wrong(`Not done: ${error.message}`);
      $("act-yes").disabled = false;
    }
  });
  $("act-form").addEventListener("input", describe);
  $("act-no").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    // What was done has no button once the page is told of it: the focus goes to the one that is there before and after.
    const stays = [...row.querySelectorAll("[data-act]")].find(({ dataset: { act } }) => act !== seen.admin && act !== admin);
    (isDone ? stays : opener)?.focus();
  });
  document.addEventListener("told", describe);

  const buttons = $("acts").content;
  for (const state of document.querySelectorAll(".pool td.state")) {
    const own = buttons.cloneNode(true);
    const { row: name } = state.closest("tr").dataset;
    for (const button of own.querySelectorAll("button")) {
      button.ariaLabel = `${VERBS[button.dataset.act]} ${name}`;
      button.addEventListener("click", () => open(button));
    }
    state.append(own);
  }
})();
