/** What `show route export KERNEL` says: the routes that BIRD gives the kernel, each with its next hops. */
import { compareIp, type Ip } from "../../model/ip.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { NextHops } from "../../plan/bgp/verify.ts";
import type { BirdReply } from "./reply-reader.ts";

/** Code of BIRD's reply (doc/reply_codes): routes. */
const ROUTE_LINE = 1007;

export function parseRoutes({ lines }: BirdReply): Map<Prefix, NextHops> {
  const routes = new Map<Prefix, Ip[]>();
  let last: Ip[] = [];
  for (const { code, text } of lines) {
    if (code !== ROUTE_LINE) continue;
    const head = /^(\S+\/\d+)\s/.exec(text);
    if (head?.[1] !== undefined) {
      last = [];
      routes.set(head[1], last);
    }
    const hop = /^\s+via (\S+) on /.exec(text)?.[1];
    if (hop !== undefined) last.push(hop);
  }
  for (const hops of routes.values()) hops.sort(compareIp);
  return routes;
}
