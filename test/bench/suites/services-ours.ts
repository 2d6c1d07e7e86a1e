/** Our own table of Services, by the code of the agent from Service and slice to the kernel, without the API. */
import { ServiceTable } from "../../../src/agent/services/service-table.ts";
import { openNftables } from "../../../src/kernel/nfnetlink/nft-socket.ts";
import type { Nftables } from "../../../src/kernel/nfnetlink/types.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { SERVICE_TABLES } from "../../../src/model/marks.ts";
import { DEFAULT_SERVICE_CONFIG } from "../../../src/model/node-config.ts";
import { type SliceEndpoint, serviceKey } from "../../../src/model/service.ts";
import { planService, type ServiceContext } from "../../../src/plan/services/frontends.ts";
import { noneTouched, ServiceLedger, type Touched } from "../../../src/plan/services/ledger.ts";
import type { ServiceWithSlice } from "./services-population.ts";

/** Pods of the node, as the data path's stage has them. */
const CONTEXT: ServiceContext = {
  name: "node1",
  addresses: ["192.168.0.1"],
  nodePortAddresses: ["192.168.0.1"],
  podCidrs: ["10.244.1.0/24"],
};

export class OurServices implements Disposable {
  readonly #nftables: Nftables;
  readonly #context: ServiceContext;
  #ledger = new ServiceLedger();
  #touched = noneTouched();
  #table: ServiceTable;

  constructor(host: LabHost, context: ServiceContext = CONTEXT) {
    this.#context = context;
    this.#nftables = host.run(() => openNftables());
    this.#table = this.#emptyTable();
  }

  [Symbol.dispose](): void {
    this.#nftables[Symbol.dispose]();
  }

  /** Forgets all, and works out where the Services answer; nothing of it is in the kernel yet. */
  plan(services: readonly ServiceWithSlice[]): void {
    this.#ledger = new ServiceLedger();
    this.#touched = noneTouched();
    for (const each of services) this.#planOne(each, this.#touched);
    this.#table = this.#emptyTable();
  }

  /** Brings what was planned into the kernel, from nothing, as the agent does at its start: in several transactions. */
  load(): void {
    this.#table.update(this.#touched, this.#context);
  }

  /** The same in one transaction, which first deletes the table, whatever it holds. */
  reload(): void {
    // A table whose set is of another kind cannot become ours step by step.
    const otherLayout = { name: "services", key: "ifname", interval: false, elements: [] } as const;
    this.#table.adopt({ ...SERVICE_TABLES[4], sets: [otherLayout], chains: [] });
    this.load();
  }

  delete(): void {
    this.#nftables.commit(SERVICE_TABLES[4], [{ do: "deleteTable" }]);
  }

  /** One Service has other endpoints. */
  change({ service, slice }: ServiceWithSlice, endpoints: readonly SliceEndpoint[]): void {
    const touched = noneTouched();
    this.#planOne({ service, slice: { ...slice, endpoints } }, touched);
    this.#table.update(touched, this.#context);
  }

  /** What the agent does a second behind a change: slots that no packet reads any more. */
  sweep(): void {
    if (this.#table.hasLeftovers) this.#table.sweep();
  }

  #emptyTable(): ServiceTable {
    const config = DEFAULT_SERVICE_CONFIG;
    const table = new ServiceTable({ family: 4, nftables: this.#nftables, ledger: this.#ledger, config });
    table.adopt(undefined);
    return table;
  }

  #planOne({ service, slice }: ServiceWithSlice, touched: Touched): void {
    this.#ledger.set(serviceKey(service), planService(service, [slice], this.#context), touched);
  }
}
