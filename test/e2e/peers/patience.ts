/** In an emulated machine everything takes so many times as long. */
export const PATIENCE = Number(process.env["BREAKWATER_TEST_PATIENCE"] ?? 1);
