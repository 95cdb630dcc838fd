/** The live page: its panels, and the streams that feed them. */
import { ConfigPanel } from "./config-panel.js";
import { ImagePanel } from "./image-panel.js";
import { askKey } from "./key-dialog.js";
import { LivePanel } from "./live-panel.js";
import type { PlanPanel } from "./plan-panel.js";
import { type PageState, ServerApi } from "./server-api.js";

/** Delay before a stream that broke off is requested again. */
const RETRY_MS = 1000;

const api = new ServerApi((isWrong) => askKey(element("key-dialog") as HTMLDialogElement, isWrong));
const live = new LivePanel(element("live-body"));
const image = new ImagePanel(element("image-body"), api);
const config = new ConfigPanel(element("config-body"));
let plan: PlanPanel | undefined;

void Promise.all([readState(), follow()]);

/** The planner's code comes with the first state; so does the editor's. */
async function readState(): Promise<void> {
  const state = await api.state().catch((error: Error) => setStatus(error.message, "bad"));
  if (state === undefined) {
    setTimeout(readState, RETRY_MS);
    return;
  }
  show(state);
  if (plan === undefined) {
    const { PlanPanel } = await import("./plan-panel.js");
    plan = new PlanPanel(element("plan-body"), {
      refresh: () => void refreshPlan(),
      edit: (budgets) => void config.setBudgets(budgets),
    });
  }
  plan.showState(state);
}

function show(state: PageState): void {
  document.title = `${state.model} - vitgraph`;
  element("model").textContent = state.model;
  live.showBudgets(state.tokenBudgets);
  image.showState(state);
  config.showState(state);
}

async function refreshPlan(): Promise<void> {
  const state = await api.state().catch((error: Error) => setStatus(error.message, "bad"));
  if (state !== undefined) plan?.showState(state);
}

async function follow(): Promise<void> {
  for (;;) {
    try {
      for await (const message of api.liveMessages()) {
        setStatus(message.state, message.state === "ready" ? "good" : "bad");
        live.show(message);
      }
      // A stream ends after a minute; the next one follows at once.
      continue;
    } catch (error) {
      setStatus((error as Error).message, "bad");
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Announced when it changes. */
function setStatus(text: string, kind: "good" | "bad"): undefined {
  const status = element("status");
  if (status.textContent === text) return;
  status.textContent = text;
  status.className = kind;
}

function element(id: string): HTMLElement {
  return document.getElementById(id) as HTMLElement;
}
