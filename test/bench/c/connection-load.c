/*
 * connection-load: opens TCP connections at a steady rate through an address, and counts those that fail.
 *
 *   connection-load serve IP PORT
 *       answers one byte to each byte until it is killed; says "ready" when it listens
 *   connection-load dial IP PORT RATE SECONDS
 *       a connection is connect, one byte there, one back, close. One that takes longer than 900 ms has lost a packet
 *       on its way (the first SYN is sent again after a second) and counts as failed.
 *
 * dial prints {"attempts", "failed", "refused", "reset", "late", "other", "p99Ms", "maxMs", "seconds"}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, FDS = 1 << 16, SAMPLES_MAX = 1 << 20 };
static const double LATE_SECONDS = 0.9;

static struct sockaddr_in address = {.sin_family = AF_INET};
static int poller;
static double started_at[FDS];
static char is_connected[FDS];
static float taken_ms[SAMPLES_MAX];
static unsigned long attempts, answered, refused, reset, late, other;
static long open_connections;

static void die(const char *what) {
  fprintf(stderr, "connection-load: %s: %s\n", what, strerror(errno));
  exit(2);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void watch(int fd, unsigned events, int operation) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(poller, operation, fd, &event)) die("epoll_ctl");
}

/* ---- server ---- */

static void serve(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) die("listen");
  watch(listener, EPOLLIN, EPOLL_CTL_ADD);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      char byte;
      if (fd == listener)
        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) watch(fd, EPOLLIN, EPOLL_CTL_ADD);
      else if (recv(fd, &byte, 1, 0) == 1) send(fd, &byte, 1, MSG_NOSIGNAL);
      else close(fd);
    }
  }
}

/* ---- client ---- */

static void count_failure(int error) {
  if (error == ECONNREFUSED) refused++;
  else if (error == ECONNRESET) reset++;
  else other++;
}

static void finish(int fd, int error) {
  double taken = now() - started_at[fd];
  if (error) count_failure(error);
  else if (taken > LATE_SECONDS) late++;
  else if (answered < SAMPLES_MAX) taken_ms[answered++] = taken * 1e3;
  close(fd);
  open_connections--;
}

static void start(void) {
  attempts++;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0 || fd >= FDS) die("socket");
  started_at[fd] = now();
  is_connected[fd] = 0;
  open_connections++;
  if (connect(fd, (void *)&address, sizeof address) == 0 || errno == EINPROGRESS) watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
  else finish(fd, errno);
}

static void advance(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  char byte = 1;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)) error = errno;
  if (error) return finish(fd, error);
  if (!is_connected[fd]) {
    is_connected[fd] = 1;
    if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1) return finish(fd, errno);
    return watch(fd, EPOLLIN, EPOLL_CTL_MOD);
  }
  ssize_t got = recv(fd, &byte, 1, 0);
  finish(fd, got == 1 ? 0 : got == 0 ? ECONNRESET : errno);
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void dial(double rate, double seconds) {
  double began = now(), patience = began + seconds + 5;
  unsigned long wanted = rate * seconds;
  while (attempts < wanted || open_connections > 0) {
    if (now() > patience) break;
    while (attempts < wanted && now() - began >= attempts / rate) start();
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, attempts < wanted ? 0 : 100);
    for (int i = 0; i < count; i++) advance(events[i].data.fd);
    if (count == 0 && attempts < wanted) usleep(100);
  }
  /* Those that never ended. */
  late += open_connections;
  double elapsed = now() - began;
  qsort(taken_ms, answered, sizeof *taken_ms, compare);
  printf("{\"attempts\":%lu,\"failed\":%lu,\"refused\":%lu,\"reset\":%lu,\"late\":%lu,\"other\":%lu,", attempts,
         refused + reset + late + other, refused, reset, late, other);
  printf("\"p99Ms\":%.3f,\"maxMs\":%.3f,\"seconds\":%.3f}\n", answered ? taken_ms[answered * 99 / 100] : 0,
         answered ? taken_ms[answered - 1] : 0, elapsed);
}

int main(int argc, char **argv) {
  int is_server = argc == 4 && !strcmp(argv[1], "serve");
  if (!is_server && !(argc == 6 && !strcmp(argv[1], "dial"))) {
    fprintf(stderr, "connection-load: serve IP PORT, or dial IP PORT RATE SECONDS\n");
    return 2;
  }
  if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) die(argv[2]);
  address.sin_port = htons(atoi(argv[3]));
  poller = epoll_create1(0);
  if (poller < 0) die("epoll_create1");
  if (is_server) serve();
  dial(atof(argv[4]), atof(argv[5]));
  return 0;
}
