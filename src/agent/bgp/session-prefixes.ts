/** Prefixes of each session, one by one, as BIRD lists them: what it refused, and what it announces; each with the reason. */
import type { BgpPlan, BgpSession } from "../../model/bgp.ts";
import type { BgpPrefixReport } from "../../model/bgp-report.ts";
import { messageOf } from "../../model/errors.ts";
import { comparePrefix, type Prefix } from "../../model/prefix.ts";
import { Explainer, type ServiceReasons } from "../../plan/bgp/explain.ts";
import { parseRoutes } from "./bird-routes.ts";
import { type BirdReply, isRefusal } from "./reply-reader.ts";

export interface SessionPrefixesInput {
  readonly nodeName: string;
  readonly plan: BgpPlan | undefined;
  readonly services: ServiceReasons;
  /** Of this peer alone. */
  readonly peer: string | undefined;
  /** Undefined while BIRD does not run. */
  readonly ask: (command: string) => Promise<BirdReply | undefined>;
}

/** More of a session are counted, not listed: a flood of refused prefixes must not become one of answers. */
const MOST_LISTED = 100;
const MOST_OF_ONE_PEER = 10_000;

export function refusedPrefixes(input: SessionPrefixesInput): Promise<BgpPrefixReport> {
  return sessionPrefixes(input, "filtered protocol", (explainer, session, prefix) =>
    explainer.whyRefused(session, prefix),
  );
}

export function announcedPrefixes(input: SessionPrefixesInput): Promise<BgpPrefixReport> {
  return sessionPrefixes(input, "export", (explainer, session, prefix) => explainer.whyAnnounced(session, prefix));
}

async function sessionPrefixes(
  { nodeName: node, plan, services, peer, ask }: SessionPrefixesInput,
  which: "filtered protocol" | "export",
  explain: (explainer: Explainer, session: BgpSession, prefix: Prefix) => string,
): Promise<BgpPrefixReport> {
  const failed = (failure: string): BgpPrefixReport => ({ node, failure, sessions: [] });
  if (plan === undefined) return failed("BGP is not planned yet");
  const explainer = new Explainer(plan, services);
  const sessions: BgpPrefixReport["sessions"][number][] = [];
  try {
    for (const session of plan.sessions.filter((each) => peer === undefined || each.peer === peer)) {
      const reply = await ask(`show route ${which} '${session.protocol}'`);
      if (reply === undefined) return failed("BIRD does not run");
      if (isRefusal(reply)) return failed(`BIRD answers: ${reply.text}`);
      const found = [...parseRoutes(reply).keys()].sort(comparePrefix);
      const listed = found.slice(0, peer === undefined ? MOST_LISTED : MOST_OF_ONE_PEER);
      const prefixes = listed.map((prefix) => ({ prefix, why: explain(explainer, session, prefix) }));
      sessions.push({ peer: session.peer, kind: session.kind, count: found.length, prefixes });
    }
  } catch (error) {
    return failed(messageOf(error));
  }
  return { node, failure: null, sessions };
}
