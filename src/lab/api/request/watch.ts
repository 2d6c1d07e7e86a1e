/**
 * Watch requests: from a version, from now, or with the present state first.
 */
import { formatOf } from "../format/format.ts";
import { expired } from "../object/status.ts";
import type { Registry } from "../registry/registry.ts";
import type { Resource } from "../resources/resource.ts";
import type { Exchange } from "./exchange.ts";
import { type ListOptions, listOptions } from "./list-options.ts";
import type { WatchHub } from "./watch-hub.ts";
import { Watcher } from "./watcher.ts";

/** --min-request-timeout of the real server: half an hour where the client names no timeout. */
const DEFAULT_TIMEOUT_SECONDS = 1800;
/** setTimeout's range; nobody watches for three weeks. */
const MAX_TIMEOUT_SECONDS = 2_000_000;

export function watch(
  registry: Registry,
  hub: WatchHub,
  resource: Resource,
  namespace: string | undefined,
  exchange: Exchange,
): void {
  const { accepted } = exchange;
  const current = registry.database.version;
  const options = listOptions(exchange, resource, namespace, current);
  const collection = registry.collection(resource);
  const initial = wantsInitialState(options);
  if (!initial && options.version !== undefined && options.version < collection.history.floor) {
    throw expired(`too old resource version: ${options.version} (${collection.history.floor})`);
  }
  const watcher = new Watcher(exchange.response, {
    collection,
    format: formatOf(resource, { accepted, includeObject: exchange.parameter("includeObject"), now: registry.now }),
    selects: options.selects,
    bookmarks: exchange.flag("allowWatchBookmarks"),
    from: initial ? current : (options.version ?? current),
    initial: !initial ? "none" : options.sendInitialEvents === true ? "marked-state" : "state",
  });
  exchange.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-cache, private" });
  exchange.response.flushHeaders();
  hub.add(watcher);
  if (!hub.hanging) watcher.pump(registry.database.version);
  endInTime(registry, hub, watcher, exchange);
}

/** With no version, or any, a watch starts with what there is; sendInitialEvents says so explicitly. */
function wantsInitialState(options: ListOptions): boolean {
  return options.sendInitialEvents ?? options.version === undefined;
}

function endInTime(registry: Registry, hub: WatchHub, watcher: Watcher, exchange: Exchange): void {
  const wanted = Number(exchange.parameter("timeoutSeconds")) || DEFAULT_TIMEOUT_SECONDS;
  const expire = () => {
    // A hung watch does not even end.
    if (hub.hanging) return;
    watcher.bookmark(registry.database.version);
    watcher.end();
  };
  const timer = setTimeout(expire, Math.min(wanted, MAX_TIMEOUT_SECONDS) * 1000).unref();
  exchange.response.on("close", () => {
    clearTimeout(timer);
    hub.remove(watcher);
  });
}
