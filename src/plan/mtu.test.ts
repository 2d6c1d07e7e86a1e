import assert from "node:assert/strict";
import { test } from "node:test";
import { pathOverheadBytes, planPathMtu, planPodMtu } from "./mtu.ts";

test("pathOverheadBytes() counts the outer headers of VXLAN once, by the outer family", () => {
  const table = [
    ["direct", 4, 0],
    ["direct", 6, 0],
    ["none", 4, 0],
    ["vxlan", 4, 50],
    ["vxlan", 6, 70],
  ] as const;
  for (const [mode, family, bytes] of table) assert.equal(pathOverheadBytes(mode, family), bytes, `${mode} ${family}`);
});

test("planPathMtu() is the underlay less the overhead, or less where a probe has proven less", () => {
  const table = [
    // underlay, overhead, proven, planned
    [1500, 0, undefined, 1500],
    [1500, 50, undefined, 1450],
    [9000, 70, undefined, 8930],
    [1500, 50, 1400, 1400],
    [1500, 50, 1450, 1450],
    // More than the arithmetic allows cannot have been proven through this device.
    [1500, 50, 9000, 1450],
    // However little it is: a path is not made larger by a wish.
    [1300, 50, undefined, 1250],
    [1500, 0, 600, 600],
  ] as const;
  for (const [underlayMtuBytes, overheadBytes, provenBytes, expected] of table) {
    assert.equal(planPathMtu({ underlayMtuBytes, overheadBytes, provenBytes }), expected);
  }
});

test("planPodMtu() is the smallest of fewer than ten paths, the underlay and the limit", () => {
  const paths = (...mtus: number[]) => mtus.map((mtuBytes) => ({ mtuBytes }));
  const ipv4 = { ipv6: false };
  assert.equal(planPodMtu([], 1500, ipv4), 1500);
  assert.equal(planPodMtu(paths(1500, 1450, 1392), 1500, ipv4), 1392);
  assert.equal(planPodMtu(paths(8950), 1500, ipv4), 1500);
  assert.equal(planPodMtu(paths(1450), 1500, { most: 1400, ipv6: false }), 1400);
  assert.equal(planPodMtu(paths(1450), 1500, { most: 9000, ipv6: false }), 1450);
  assert.equal(planPodMtu(paths(1250), 1300, ipv4), 1250);
});

test("planPodMtu() leaves pods with IPv6 what IPv6 needs, also where a path carries less", () => {
  assert.equal(planPodMtu([{ mtuBytes: 1230 }], 1300, { ipv6: true }), 1280);
  assert.equal(planPodMtu([{ mtuBytes: 1430 }], 1500, { ipv6: true }), 1430);
});

test("planPodMtu() is what nine of ten paths carry, so that a narrow path takes nothing from the many", () => {
  const table: [string, [number, number][], number][] = [
    [
      "one of nine",
      [
        [8, 1500],
        [1, 1300],
      ],
      1300,
    ],
    [
      "one of ten",
      [
        [9, 1500],
        [1, 1300],
      ],
      1500,
    ],
    [
      "two of ten",
      [
        [8, 1500],
        [2, 1300],
      ],
      1300,
    ],
    [
      "two of twenty",
      [
        [18, 1500],
        [2, 1300],
      ],
      1500,
    ],
    [
      "three of twenty",
      [
        [17, 1500],
        [2, 1300],
        [1, 1280],
      ],
      1300,
    ],
    [
      "half behind a router",
      [
        [50, 1500],
        [50, 1450],
      ],
      1450,
    ],
    [
      "nearly all behind a router, one of them broken",
      [
        [5, 1500],
        [94, 1450],
        [1, 1250],
      ],
      1450,
    ],
    [
      "99 of 1,000",
      [
        [901, 8950],
        [99, 1400],
      ],
      8950,
    ],
  ];
  for (const [name, groups, expected] of table) {
    const paths = groups.flatMap(([count, mtuBytes]) => Array.from({ length: count }, () => ({ mtuBytes })));
    assert.equal(planPodMtu(paths, 9000, { ipv6: false }), expected, name);
  }
});
