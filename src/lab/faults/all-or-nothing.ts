/** Faults of several steps: when one cannot be done, those before it are taken back. */

/**
 * @param steps does one thing after the other, and leaves with `undo` what takes each back
 * @returns what takes all back, the last one first, each even where another fails
 */
export function allOrNothing(steps: (undo: DisposableStack) => void): () => Promise<void> {
  using undo = new DisposableStack();
  steps(undo);
  const done = undo.move();
  return async () => done.dispose();
}
