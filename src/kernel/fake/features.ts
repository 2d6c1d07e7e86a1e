/** Features of the devices of one namespace in memory. */
import type { DeviceFeatures } from "../genetlink/ethtool.ts";
import { refuse } from "./failures.ts";
import type { FakeNamespace } from "./namespace.ts";
import type { Supervision } from "./supervision.ts";

export function fakeFeatures(namespace: FakeNamespace, supervision: Supervision): DeviceFeatures {
  return {
    get unavailable() {
      return namespace.withoutFeatures;
    },
    read: (device, feature) =>
      supervision.list("readFeature", { operation: `read the features of`, object: device }, () =>
        namespace.withoutFeatures === undefined ? namespace.linkNamed(device)?.features.has(feature) : undefined,
      ),
    write(device, feature, on) {
      const purpose = { operation: `switch ${feature} ${on ? "on" : "off"} on`, object: device };
      supervision.run("writeFeature", purpose, () => {
        if (namespace.withoutFeatures !== undefined) throw namespace.withoutFeatures;
        const link = namespace.linkNamed(device) ?? refuse("ENODEV", purpose);
        if (link.features.has(feature) === on) return;
        const rest = [...link.features].filter((name) => name !== feature);
        link.features = new Set(on ? [...rest, feature] : rest);
        // NETDEV_FEAT_CHANGE: a message about the link, in which nothing else has changed.
        namespace.announce(link);
      });
    },
    [Symbol.dispose]: () => undefined,
  };
}
