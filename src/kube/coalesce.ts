/** Many changes in one turn of the event loop are one reason to look again. */

/** Calls `callback` once, at the end of this turn of the event loop, however often it is asked to. */
export function coalesce(callback: () => void): { call: () => void; cancel: () => void } {
  let pending: NodeJS.Immediate | undefined;
  return {
    call: () => {
      pending ??= setImmediate(() => {
        pending = undefined;
        callback();
      });
    },
    cancel: () => clearImmediate(pending),
  };
}
