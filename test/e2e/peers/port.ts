/** Where `server.ts` listens, TCP and UDP. */
export const PEER_PORT = 9000;
