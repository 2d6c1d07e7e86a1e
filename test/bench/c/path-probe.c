/*
 * path-probe: what one operation between two network namespaces costs, as CPU time of both ends. Client and server are
 * two processes pinned to one core; the kernel charges the whole way of a packet through veth devices to them.
 *
 *   path-probe MODE --client NETNS --server NETNS --address IP [--via IP:PORT] [--seconds S] [--cpu N]
 *
 *   tcp_rr, udp_rr  one byte there and one back
 *   tcp_crr         connect, one byte there and back, close
 *   tcp_stream      as much as goes through
 *   udp_oneway      datagrams that nobody answers: connection tracking has each for the first of its flow
 *
 * The server listens at the address; the client connects there, or to what is translated to it (--via).
 *
 * Prints {"operations", "seconds", "cpuUs" (of one operation; of one megabyte with tcp_stream), "minUs", "p50Us",
 * "connectP50Us" (tcp_crr), "gbps" (tcp_stream), "foreignCores"}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 5201, SAMPLES_MAX = 1 << 20, BUFFER_BYTES = 1 << 17, WARM_UP_OPERATIONS = 200 };
/* Datagrams on their way at once; a receive buffer holds them all. */
enum { BATCH = 32 };
static const double LOST_SECONDS = 5;

static const char *mode, *client_netns, *server_netns;
static struct sockaddr_in address = {.sin_family = AF_INET}, via;
static double seconds = 0.05;
static int cpu;
static char buffer[BUFFER_BYTES];
static float latency_us[SAMPLES_MAX], connect_us[SAMPLES_MAX];
static unsigned long operations;
/* Shared with the server: how many datagrams it was given. */
static volatile unsigned long *received;

static void die(const char *what) {
  fprintf(stderr, "path-probe %s: %s: %s\n", mode, what, strerror(errno));
  exit(2);
}

static double read_clock(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) die("clock_gettime");
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double now(void) { return read_clock(CLOCK_MONOTONIC); }

static void enter(const char *netns) {
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET)) die(netns);
  close(fd);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) die("sched_setaffinity");
}

static bool is(const char *name) { return !strcmp(mode, name); }

static void set_int(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value)) die("setsockopt");
}

static bool is_udp(void) { return is("udp_rr") || is("udp_oneway"); }

static int open_socket(void) {
  int fd = socket(AF_INET, is_udp() ? SOCK_DGRAM : SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  /* A measurement that hangs is one that failed. */
  struct timeval patience = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (!is_udp()) {
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5)) die("cubic");
  }
  return fd;
}

static int dial(void) {
  int fd = open_socket();
  if (connect(fd, (void *)&via, sizeof via)) die("connect");
  return fd;
}

/* ---- server: runs until it is killed ---- */

static void serve_udp(int fd) {
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  struct timeval never = {0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
  if (recvfrom(fd, buffer, 1, 0, (void *)&peer, &length) < 0 || connect(fd, (void *)&peer, length)) die("recvfrom");
  do send(fd, buffer, 1, 0);
  while (recv(fd, buffer, 1, 0) >= 0 || errno == EINTR);
}

static void count_datagrams(int fd) {
  while (recv(fd, buffer, 1, 0) >= 0 || errno == EINTR) *received += 1;
}

static void serve(int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  enter(server_netns);
  int listener = open_socket();
  set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  struct timeval never = {0};
  setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
  if (bind(listener, (void *)&address, sizeof address)) die("bind");
  if (!is_udp() && listen(listener, 1024)) die("listen");
  if (write(ready, "", 1) != 1) die("write");
  if (is("udp_oneway")) count_datagrams(listener);
  if (is("udp_rr")) serve_udp(listener);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    while (recv(fd, buffer, is("tcp_stream") ? sizeof buffer : 1, 0) > 0)
      if (!is("tcp_stream") && send(fd, buffer, 1, MSG_NOSIGNAL) < 0) break;
    close(fd);
  }
}

/* ---- client ---- */

static void exchange(int fd) {
  if (send(fd, buffer, 1, MSG_NOSIGNAL) != 1 || recv(fd, buffer, 1, 0) != 1) die("request-response");
}

static void connect_and_exchange(void) {
  double started = now();
  int fd = dial();
  if (operations < SAMPLES_MAX) connect_us[operations] = (now() - started) * 1e6;
  exchange(fd);
  /* A reset instead of TIME_WAIT: ports must not run out. */
  struct linger reset = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
}

/* What is sent has arrived before more is sent. */
static void send_batch(int fd) {
  unsigned long wanted = *received + BATCH;
  double patience = now() + LOST_SECONDS;
  for (int i = 0; i < BATCH; i++)
    if (send(fd, buffer, 1, MSG_NOSIGNAL) != 1) die("send");
  while (*received < wanted) {
    sched_yield();
    if (now() > patience) errno = ETIMEDOUT, die("datagrams are lost");
  }
}

static unsigned long acknowledged(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) die("TCP_INFO");
  return info.tcpi_bytes_acked;
}

static void stream(int fd, double until) {
  while (now() < until)
    if (send(fd, buffer, sizeof buffer, MSG_NOSIGNAL) < 0) die("send");
}

static void repeat(int fd, double until) {
  for (double before = now(), after; before < until; before = after) {
    if (is("udp_oneway")) send_batch(fd);
    else if (fd < 0) connect_and_exchange();
    else exchange(fd);
    after = now();
    if (operations < SAMPLES_MAX) latency_us[operations] = (after - before) * 1e6;
    operations++;
  }
}

/* ---- figures ---- */

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The value at `share` of the sorted samples. */
static double quantile(float *samples, double share) {
  unsigned long n = operations < SAMPLES_MAX ? operations : SAMPLES_MAX;
  if (n == 0) return 0;
  qsort(samples, n, sizeof *samples, compare);
  return samples[(unsigned long)((n - 1) * share)];
}

static double busy_seconds(void) {
  double v[8] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (!file || fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7) < 8)
    die("/proc/stat");
  fclose(file);
  return (v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / sysconf(_SC_CLK_TCK);
}

static void parse_via(const char *text) {
  char ip[INET_ADDRSTRLEN] = "";
  unsigned port = 0;
  via.sin_family = AF_INET;
  if (sscanf(text, "%15[0-9.]:%u", ip, &port) != 2 || inet_pton(AF_INET, ip, &via.sin_addr) != 1) die(text);
  via.sin_port = htons(port);
}

static void parse(int argc, char **argv) {
  mode = argc > 1 ? argv[1] : "";
  address.sin_port = htons(PORT);
  for (int i = 2; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--client")) client_netns = value;
    else if (!strcmp(name, "--server")) server_netns = value;
    else if (!strcmp(name, "--address")) address.sin_addr.s_addr = inet_addr(value);
    else if (!strcmp(name, "--via")) parse_via(value);
    else if (!strcmp(name, "--seconds")) seconds = atof(value);
    else if (!strcmp(name, "--cpu")) cpu = atoi(value);
  }
  if (via.sin_family == 0) via = address;
  if (client_netns == NULL || server_netns == NULL || !(is("tcp_rr") || is_udp() || is("tcp_crr") || is("tcp_stream"))) {
    fprintf(stderr, "path-probe: MODE, --client, --server and --address are needed\n");
    exit(2);
  }
}

static pid_t start_server(void) {
  int ready[2];
  char byte;
  if (pipe(ready)) die("pipe");
  pid_t pid = fork();
  if (pid == 0) serve(ready[1]);
  close(ready[1]);
  if (pid < 0 || read(ready[0], &byte, 1) != 1) die("server");
  return pid;
}

static void warm_up(int fd) {
  if (is("udp_oneway")) send_batch(fd);
  else if (fd < 0) connect_and_exchange();
  else exchange(fd);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  received = mmap(NULL, sizeof *received, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (received == MAP_FAILED) die("mmap");
  pid_t server = start_server();
  clockid_t server_clock;
  if (clock_getcpuclockid(server, &server_clock)) die("clock_getcpuclockid");
  enter(client_netns);
  int fd = is("tcp_crr") ? -1 : dial();
  if (is("tcp_stream")) stream(fd, now() + 0.01);
  else
    for (int i = 0; i < WARM_UP_OPERATIONS; i++) warm_up(fd);
  unsigned long bytes = is("tcp_stream") ? acknowledged(fd) : 0;
  double busy = busy_seconds(), started = now();
  double spent = read_clock(CLOCK_PROCESS_CPUTIME_ID) + read_clock(server_clock);
  if (is("tcp_stream")) stream(fd, started + seconds);
  else repeat(fd, started + seconds);
  double elapsed = now() - started;
  spent = read_clock(CLOCK_PROCESS_CPUTIME_ID) + read_clock(server_clock) - spent;
  double foreign = (busy_seconds() - busy - spent) / elapsed;
  bytes = is("tcp_stream") ? acknowledged(fd) - bytes : 0;
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  double units = is("tcp_stream") ? bytes / 1e6 : is("udp_oneway") ? operations * BATCH : operations;
  printf("{\"operations\":%lu,\"seconds\":%.5f,\"cpuUs\":%.4f,\"foreignCores\":%.3f", operations, elapsed,
         spent * 1e6 / units, foreign < 0 ? 0 : foreign);
  if (is("tcp_stream")) printf(",\"gbps\":%.3f", bytes * 8 / elapsed / 1e9);
  else printf(",\"minUs\":%.2f,\"p50Us\":%.2f", quantile(latency_us, 0), quantile(latency_us, 0.5));
  if (is("tcp_crr")) printf(",\"connectP50Us\":%.2f", quantile(connect_us, 0.5));
  printf("}\n");
  return 0;
}
