/** What serving through IPVS would change, each with the Service that asks for it; loads no module. */
import { closeServer, openServer, type WantedServer } from "../../diff/ipvs.ts";
import type { Ipvs } from "../../kernel/genetlink/ipvs.ts";
import type { IpvsChange } from "../../model/ipvs.ts";
import { IPVS_DEVICE } from "../../model/marks.ts";
import type { IpvsConfig } from "../../model/node-config.ts";
import type { Operation } from "../../model/operation.ts";
import { planIpvsServer } from "../../plan/services/ipvs.ts";
import type { ServiceLedger } from "../../plan/services/ledger.ts";
import { NO_IPVS, observeIpvs } from "./ipvs-observation.ts";
import type { IpvsKernel } from "./ipvs-services.ts";
import { missingTimeout, readSettings } from "./ipvs-settings.ts";
import { addressLength, ServiceAddresses } from "./service-addresses.ts";

export interface IpvsDryRunInput {
  readonly kernel: IpvsKernel;
  readonly ledger: ServiceLedger;
  readonly config: IpvsConfig | undefined;
  readonly causeOf: (ledger: ServiceLedger, key: string) => string;
}

const CAUSE = "Services through IPVS";

/** Before the tables change, and behind that. */
export function planIpvsOperations(input: IpvsDryRunInput): { before: Operation[]; after: Operation[] } {
  const { kernel, ledger, config, causeOf } = input;
  const wanted = (key: string): WantedServer | undefined => {
    const frontend = ledger.frontend(key);
    const server = config && planIpvsServer(frontend, config.scheduler);
    return server && { server, endpoints: frontend?.endpoints ?? [] };
  };
  using ipvs = kernel.openIpvs();
  const adopts = (key: string) => config?.adopt === true && wanted(key) !== undefined;
  const { servers, foreign } = ipvs === undefined ? NO_IPVS() : observeIpvs(ipvs, adopts);
  const operation = (key: string, changes: IpvsChange[]): Operation[] =>
    changes.length === 0 ? [] : [{ do: "changeIpvs", changes, cause: causeOf(ledger, key) }];
  const keys = [...new Set([...ledger.frontends(), ...servers.keys()])].filter((key) => !foreign.has(key)).sort();
  const addresses = addressOperations(input, new Set(servers.keys()));
  return {
    before: [
      ...(config === undefined ? [] : settingOperations(kernel, ipvs)),
      ...keys.flatMap((key) => operation(key, openServer(servers.get(key), wanted(key)))),
      ...addresses.come,
    ],
    after: [
      ...keys.flatMap((key) => {
        const alive = ledger.frontend(key)?.endpoints;
        return operation(key, closeServer(servers.get(key), wanted(key), alive));
      }),
      ...addresses.go,
    ],
  };
}

function settingOperations(kernel: IpvsKernel, ipvs: Ipvs | undefined): Operation[] {
  const timeout = missingTimeout(ipvs, kernel.sysctl);
  const wrong = readSettings(kernel).filter(({ isRight }) => !isRight);
  return [
    ...wrong.map(({ name, value, found: previous }): Operation => {
      return { do: "setSysctl", name, value, previous, cause: CAUSE };
    }),
    ...(timeout === undefined ? [] : [{ do: "setIpvsTcpTimeout" as const, ...timeout, cause: CAUSE }]),
  ];
}

function addressOperations(
  { kernel, ledger, config, causeOf }: IpvsDryRunInput,
  serving: ReadonlySet<string>,
): { come: Operation[]; go: Operation[] } {
  const device = IPVS_DEVICE;
  const link = kernel.routes.link(device);
  const bound = new ServiceAddresses(kernel.routes).observe();
  const come: Operation[] =
    config !== undefined && link === undefined ? [{ do: "createDummy", device, cause: CAUSE }] : [];
  const needed = new Set<string>();
  for (const key of [...ledger.frontends()].sort()) {
    const frontend = ledger.frontend(key);
    if (config === undefined || frontend?.ipvs?.bind !== true || needed.has(frontend.address)) continue;
    needed.add(frontend.address);
    if (bound.has(frontend.address)) continue;
    const address = { device, address: frontend.address, length: addressLength(frontend.address) };
    come.push({ do: "addAddress", address, cause: causeOf(ledger, key) });
  }
  for (const key of serving) needed.add(key.slice(0, key.indexOf(" ")));
  const go = [...bound].filter((address) => !needed.has(address));
  return {
    come,
    go: go.sort().map((address) => {
      const gone = { index: link?.index ?? 0, address, length: addressLength(address) };
      return { do: "deleteAddress", device, address: gone, cause: "no Service any more" };
    }),
  };
}
