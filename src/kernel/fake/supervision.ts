/**
 * Who calls the fake kernel: the program under test, whose calls are logged and may fail on demand, or somebody else, who
 * is neither watched nor hindered.
 */
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import type { Purpose } from "../netlink/error.ts";
import { type Failures, type FakeOperation, refusal } from "./failures.ts";
import type { OperationLog } from "./operation-log.ts";

export interface Supervision {
  /** Carries out a change, or refuses it. */
  run(operation: FakeOperation, purpose: Purpose, body: () => void): void;
  /** Reads. A list that is interrupted (EINTR) is begun anew, ten times at most, as the real socket does. */
  list<T>(operation: FakeOperation, purpose: Purpose, body: () => T): T;
  /** Fails before anything is done. */
  interrupt(operation: FakeOperation, purpose: Purpose): void;
}

const LIST_ATTEMPTS = 10;

export function supervise(namespace: string, failures: Failures, log: OperationLog): Supervision {
  const note = (operation: FakeOperation, { object }: Purpose, error: unknown) => {
    const errno = isBreakwaterError(error) ? error.errno : undefined;
    log.add({ namespace, operation, object, errno });
  };
  return {
    run(operation, purpose, body) {
      const failure = failures.take(operation, purpose.object);
      let error = failure && refusal(failure.errno, purpose);
      try {
        if (failure === undefined || failure.applied === true) body();
      } catch (refused) {
        error ??= refused as BreakwaterError;
      }
      note(operation, purpose, error);
      if (error !== undefined) throw error;
    },
    list(operation, purpose, body) {
      for (let attempt = 1; attempt <= LIST_ATTEMPTS; attempt++) {
        const failure = failures.take(operation, purpose.object);
        if (failure === undefined) return body();
        if (failure.errno !== "EINTR") throw refusal(failure.errno, purpose);
      }
      const message = `Cannot ${purpose.operation} ${purpose.object}: the table changed during each of ${LIST_ATTEMPTS} attempts`;
      throw new BreakwaterError("BW_NETLINK_DUMP", message, { ...purpose, errno: "EINTR" });
    },
    interrupt(operation, purpose) {
      const failure = failures.take(operation, purpose.object);
      if (failure === undefined) return;
      const error = refusal(failure.errno, purpose);
      note(operation, purpose, error);
      throw error;
    },
  };
}

export const unsupervised: Supervision = {
  run: (_operation, _purpose, body) => body(),
  list: (_operation, _purpose, body) => body(),
  interrupt: () => undefined,
};
