/** What a process uses, from /proc. */
import { readdirSync, readFileSync } from "node:fs";

/** CPU time of all threads so far, seconds (first field of schedstat: nanoseconds on a CPU). */
export function cpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]),
  );
  return nanoseconds.reduce((total, value) => total + value, 0) / 1e9;
}

/** Resident memory, megabytes (10^6 bytes). */
export function residentMegabytes(pid: number): number {
  return megabytes(pid, "VmRSS");
}

/** The most that it ever was. */
export function peakMegabytes(pid: number): number {
  return megabytes(pid, "VmHWM");
}

function megabytes(pid: number, field: string): number {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}

/** CPU seconds that the whole machine spent since it started (proc(5): user nice system idle iowait irq softirq steal). */
export function machineBusySeconds(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  const TICKS_PER_SECOND = 100;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}
