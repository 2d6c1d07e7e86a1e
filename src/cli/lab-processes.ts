/** The lab's own processes: `lab-daemon` and `lab-kubelet`. Started by `lab up`, not by people. */
import { appendFile, mkdirSync, writeSync } from "node:fs";
import { KubeClient } from "../kube/client.ts";
import { loadConnection } from "../kube/config.ts";
import { type DaemonConfig, runDaemon } from "../lab/daemon.ts";
import { runFrontend } from "../lab/demo/frontend.ts";
import { CniRuntime } from "../lab/kubelet/cni-exec.ts";
import { Kubelet, type KubeletOptions } from "../lab/kubelet/kubelet.ts";
import { podLogFile } from "../lab/pod-log.ts";
import { messageOf } from "../model/errors.ts";

/** Where `lab up` listens for progress: one JSON line a step. */
const PROGRESS_FD = 4;

export async function labDaemon([config = "{}"]: readonly string[]): Promise<number> {
  const say = (event: object) => {
    try {
      writeSync(PROGRESS_FD, `${JSON.stringify(event)}\n`);
    } catch {
      // Nobody listens any more: the lab is up and the command that started it is gone.
    }
  };
  try {
    await runDaemon(JSON.parse(config) as DaemonConfig, (step) => say({ step }));
    return 0;
  } catch (error) {
    say({ error: messageOf(error) });
    throw error;
  }
}

interface KubeletConfig extends Omit<KubeletOptions, "client" | "cni" | "log" | "onOutput"> {
  readonly kubeconfig: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  readonly podLogs: string;
}

export async function labKubelet([text = "{}"]: readonly string[]): Promise<number> {
  const config = JSON.parse(text) as KubeletConfig;
  const client = new KubeClient(await loadConnection({ kubeconfig: config.kubeconfig }));
  mkdirSync(config.podLogs, { recursive: true });
  const kubelet = new Kubelet({
    ...config,
    client,
    cni: new CniRuntime(config.cniConfDir, [config.cniBinDir]),
    log: (fields, message) => process.stdout.write(`${JSON.stringify({ ...fields, msg: message })}\n`),
    onOutput: (pod, _container, chunk) => {
      appendFile(podLogFile(config.podLogs, pod.namespace, pod.name), chunk, () => undefined);
    },
  });
  await kubelet.start();
  await new Promise<void>((resolve) => process.once("SIGTERM", () => resolve()));
  await kubelet.stop();
  client.close();
  return 0;
}

/** The demonstration's web server. */
export async function labFrontend([host = "", port = ""]: readonly string[]): Promise<number> {
  await runFrontend(host, Number(port));
  await new Promise<void>((resolve) => process.once("SIGTERM", () => resolve()));
  process.exit(0);
}
