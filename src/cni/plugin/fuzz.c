/*
 * Mutation harness of the plugin's two parsers: the JSON scanner and the reception of an answer. Deterministic: the same
 * seed gives the same inputs, so a crash is repeated by its arguments. Compiled by `build.sh OUT fuzz` with the address
 * and undefined-behaviour sanitizers; every input lies in an allocation of exactly its size, so that one byte read too
 * far is a report.
 *
 *   fuzz ITERATIONS [SEED]
 */
#define main plugin_main
#include "breakwater-cni.c"
#undef main

static uint64_t state;

/* splitmix64 (Steele, Lea, Flood 2014): tiny, and good enough to choose mutations. */
static uint64_t next_random(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static size_t below(size_t n) { return n ? (size_t)(next_random() % n) : 0; }

static const char *const SEEDS[] = {
    "{\"cniVersion\":\"1.1.0\",\"name\":\"breakwater\",\"type\":\"breakwater\",\"socket\":\"/run/x.sock\"}",
    "{\"a\":{\"socket\":\"/no\"},\"b\":[1,[2,{\"socket\":\"/no\"}]],\"socket\":\"\\/run\\u002fx\\ud83d\\ude00\"}",
    "{ \"socket\" : null , \"cniVersion\" : 1e9 , \"z\" : \"\\\\\\\"\" , \"socket\" : \"/a\" }",
    "[{\"socket\":\"/no\"}]",
    "{\"socket\":\"\\ud800\"}",
    "{\"socket\":\"\\u00e9\\u20ac\\u0000\"}",
    "",
};

static const char *const TOKENS[] = {"{", "}", "[", "]", "\"", "\\", ":", ",", "\\u", "\\ud83d\\ude00", "\\u0000",
                                     "\"socket\":\"/", "null", "\x01", "\xff", "\"cniVersion\":\"9"};

/* Applies 0 to 7 mutations in place; the new length. */
static size_t mutate(unsigned char *text, size_t length, size_t capacity) {
  for (size_t times = below(8); times > 0; times--) {
    size_t at = below(length + 1);
    const char *token = TOKENS[below(COUNT(TOKENS))];
    size_t n = strlen(token);
    switch (below(4)) {
    case 0: /* cut off */
      length = at;
      break;
    case 1: /* flip a bit */
      if (at < length) text[at] ^= (unsigned char)(1u << below(8));
      break;
    case 2: /* insert a token */
      if (length + n > capacity) break;
      memmove(text + at + n, text + at, length - at);
      memcpy(text + at, token, n);
      length += n;
      break;
    default: /* take a piece out */
      n = below(length - at + 1);
      memmove(text + at, text + at + n, length - at - n);
      length -= n;
    }
  }
  return length;
}

static void fuzz_scanner(const unsigned char *text, size_t length) {
  unsigned char *exact = malloc(length ? length : 1);
  char out[24];
  memcpy(exact, text, length);
  memset(out, 'x', sizeof out);
  int found = json_top_string(exact, length, "socket", out, sizeof out);
  if (found < -1 || found > 1) abort();
  if (found == 1 && memchr(out, 0, sizeof out) == NULL) abort();
  learn_version(exact, length);
  if (error_version[strspn(error_version, "0123456789.")] != 0) abort();
  free(exact);
}

/* Any bytes on the socket: an answer within the limit, or an error; never a wait, as the other end has closed. */
static void fuzz_answer(const unsigned char *text, size_t length) {
  unsigned char wire[ANSWER_HEADER + 512] = "BWA1";
  int pair[2];
  uint32_t status = 0;
  put32(wire + 4, (uint32_t)below(3));
  put32(wire + 8, (uint32_t)length);
  memcpy(wire + ANSWER_HEADER, text, length);
  size_t n = below(4) ? ANSWER_HEADER + length : below(ANSWER_HEADER + length + 1);
  if (below(2)) wire[below(ANSWER_HEADER)] ^= (unsigned char)(1u << below(8));
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) abort();
  if (n > 0 && write(pair[1], wire, n) != (ssize_t)n) abort();
  close(pair[1]);
  ssize_t got = receive_answer(pair[0], clock_ms(CLOCK_MONOTONIC) + 1000, &status);
  if (got < 0 ? errno == ETIMEDOUT : (size_t)got > length + 256) abort();
  close(pair[0]);
}

int main(int argc, char **argv) {
  long iterations = argc > 1 ? atol(argv[1]) : 100000;
  state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
  unsigned char text[512];
  for (long i = 0; i < iterations; i++) {
    const char *seed = SEEDS[below(COUNT(SEEDS))];
    size_t length = strlen(seed);
    memcpy(text, seed, length);
    length = mutate(text, length, sizeof text);
    fuzz_scanner(text, length);
    if (i % 8 == 0) fuzz_answer(text, length);
  }
  printf("%ld inputs, no finding\n", iterations);
  return 0;
}
