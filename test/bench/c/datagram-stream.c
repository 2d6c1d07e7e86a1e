/*
 * datagram-stream: numbered UDP datagrams at a steady rate to something that sends them back, and which of them it did not.
 *
 *   datagram-stream --to ADDRESS --port N --from-port N [--rate N] [--linger MS]
 *   datagram-stream --echo N --port N
 *
 * The first sends until SIGTERM, waits for late answers, and prints what became of them, times by CLOCK_MONOTONIC in
 * nanoseconds: {"sent", "lost", "firstLost", "lastLost", "server"}; 0 where nothing was lost. A datagram that could not
 * be sent is lost. "server" is the number of who answered last. Before that it prints "server N" each time that another one
 * answers than before, and "back" each time that answers come again after a silence of 100 ms. The second is such a server:
 * it writes its number N into each datagram. Both end with their parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const int64_t SILENCE_NS = 100 * 1000000;
enum { SERVER_AT = 8, SIZE = 64, MOST = 4 * 1000 * 1000 };

static volatile sig_atomic_t is_over;

static void die(const char *what) {
  fprintf(stderr, "datagram-stream: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void on_term(int signal) {
  (void)signal;
  is_over = 1;
}

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static socklen_t address_of(const char *text, int port, struct sockaddr_storage *out) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)out;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) {
    errno = EINVAL;
    die(text);
  }
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return sizeof *v6;
}

/* A machine that is busy for a tenth of a second must not look like a network that loses packets. */
static void widen(int fd) {
  int bytes = 4 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
    (void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static void echo(int port, uint8_t number) {
  struct sockaddr_storage from;
  socklen_t length = address_of("::", port, &from);
  unsigned char data[2048];
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&from, length) < 0) die("listen");
  widen(fd);
  for (;;) {
    length = sizeof from;
    ssize_t size = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &length);
    if (size <= SERVER_AT) continue;
    data[SERVER_AT] = number;
    /* An answer that cannot be sent is lost, as on its way. */
    (void)!sendto(fd, data, size, 0, (struct sockaddr *)&from, length);
  }
}

static int64_t *sent_at;
static unsigned char *answered;
static int64_t count;
static int server = -1;
static int64_t heard_at;

static void receive(int fd) {
  unsigned char data[SIZE];
  int64_t number;
  for (;;) {
    ssize_t size = recv(fd, data, sizeof data, MSG_DONTWAIT);
    /* An ICMP error is told once, by any call. */
    if (size < 0 && errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH) return;
    if (size < SIZE) continue;
    memcpy(&number, data, sizeof number);
    if (number < 0 || number >= count) continue;
    if (heard_at != 0 && now() - heard_at > SILENCE_NS) {
      puts("back");
      fflush(stdout);
    }
    heard_at = now();
    answered[number] = 1;
    if (server == data[SERVER_AT]) continue;
    server = data[SERVER_AT];
    printf("server %d\n", server);
    fflush(stdout);
  }
}

static void wait_until(int fd, int64_t until) {
  for (;;) {
    int64_t left = until - now();
    if (left <= 0) return;
    struct timespec time = {left / 1000000000LL, left % 1000000000LL};
    struct pollfd poll = {.fd = fd, .events = POLLIN};
    if (ppoll(&poll, 1, &time, NULL) > 0) receive(fd);
  }
}

static void stream(const char *to, int port, int from_port, double rate, int linger_ms) {
  struct sockaddr_storage target, own;
  socklen_t length = address_of(to, port, &target);
  address_of(target.ss_family == AF_INET ? "0.0.0.0" : "::", from_port, &own);
  int fd = socket(target.ss_family, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, length) < 0) die("bind");
  if (connect(fd, (struct sockaddr *)&target, length) < 0) die("connect");
  widen(fd);
  sent_at = calloc(MOST, sizeof *sent_at);
  answered = calloc(MOST, 1);
  if (sent_at == NULL || answered == NULL) die("allocate");
  unsigned char data[SIZE] = {0};
  int64_t next = now(), gap = (int64_t)(1e9 / rate);
  while (!is_over && count < MOST) {
    memcpy(data, &count, sizeof count);
    sent_at[count] = now();
    count++;
    (void)!send(fd, data, sizeof data, MSG_DONTWAIT);
    next += gap;
    /* What was not sent in time is not made up for in one burst. */
    if (now() > next + 10 * gap) next = now();
    wait_until(fd, next);
  }
  wait_until(fd, now() + linger_ms * 1000000LL);
  int64_t lost = 0, first = 0, last = 0;
  for (int64_t i = 0; i < count; i++) {
    if (answered[i]) continue;
    if (lost++ == 0) first = sent_at[i];
    last = sent_at[i];
  }
  printf("{\"sent\": %lld, \"lost\": %lld, \"firstLost\": %lld, \"lastLost\": %lld, \"server\": %d}\n", (long long)count,
         (long long)lost, (long long)first, (long long)last, server);
}

int main(int argc, char **argv) {
  const char *to = NULL;
  int port = 0, from_port = 0, number = -1, linger_ms = 500;
  double rate = 1000;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--to") == 0) to = argv[i + 1];
    else if (strcmp(argv[i], "--port") == 0) port = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--from-port") == 0) from_port = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--echo") == 0) number = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--rate") == 0) rate = atof(argv[i + 1]);
    else if (strcmp(argv[i], "--linger") == 0) linger_ms = atoi(argv[i + 1]);
    else die(argv[i]);
  }
  if (port <= 0 || rate <= 0 || (to == NULL && number < 0)) {
    errno = EINVAL;
    die("arguments");
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGTERM, on_term);
  if (to == NULL) {
    /* A container's main process ends when it is told to. */
    signal(SIGTERM, SIG_DFL);
    echo(port, (uint8_t)number);
  }
  stream(to, port, from_port, rate, linger_ms);
  return 0;
}
