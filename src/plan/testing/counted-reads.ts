/** How much work a plan is, told without a clock: how often something of its input is read. */

/**
 * The same values, which count what is read of them, however deep. Who compares each with each reads the square of what
 * there is, which shows on any machine.
 * @param value plain objects and arrays
 */
export function countedReads<T extends object>(value: T): { readonly value: T; readonly count: () => number } {
  let reads = 0;
  // What is the same object stays the same object.
  const known = new WeakMap<object, object>();
  const counted = <U>(inner: U): U => {
    if (typeof inner !== "object" || inner === null) return inner;
    const found = known.get(inner) ?? new Proxy(inner, handler);
    known.set(inner, found);
    return found as U;
  };
  const handler: ProxyHandler<object> = {
    get: (target, key, receiver) => {
      reads++;
      return counted(Reflect.get(target, key, receiver));
    },
  };
  return { value: counted(value), count: () => reads };
}
