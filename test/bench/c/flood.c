/*
 * flood: UDP datagrams and TCP SYNs at addresses, as many as asked for, whoever is there or not, until it is told to end.
 *
 *   flood --port N --rate N ADDRESS…
 *
 * Each round sends one datagram and one SYN to every address (IPv4 and IPv6), from a few ports of its own, at `rate`
 * packets a second altogether. On SIGTERM it prints {"sent": N} and ends; it ends with its parent, too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TARGETS_MAX = 64, SOURCE_PORTS = 8, FIRST_SOURCE_PORT = 41000 };

struct target {
  struct sockaddr_storage udp, raw;
  socklen_t length;
  /* Of the TCP checksum's pseudo header; IPv6 leaves that to the kernel. */
  struct in_addr source;
};

static struct target targets[TARGETS_MAX];
static int target_count, port = 80;
static double rate = 1000;
static int udp_sockets[2][SOURCE_PORTS], raw_sockets[2];
static volatile sig_atomic_t is_over;
static unsigned long sent;

static void die(const char *what) {
  fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void on_signal(int signal) {
  (void)signal;
  is_over = 1;
}

static int family_of(const struct target *target) { return target->udp.ss_family; }

static int index_of(int family) { return family == AF_INET6; }

static int open_udp(int family, int source_port) {
  int fd = socket(family, SOCK_DGRAM, 0), yes = 1;
  struct sockaddr_in6 own6 = {.sin6_family = AF_INET6, .sin6_port = htons(source_port)};
  struct sockaddr_in own4 = {.sin_family = AF_INET, .sin_port = htons(source_port)};
  if (fd < 0) die("udp socket");
  if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes)) die("IPV6_V6ONLY");
  if (bind(fd, family == AF_INET6 ? (void *)&own6 : (void *)&own4, family == AF_INET6 ? sizeof own6 : sizeof own4))
    die("bind");
  return fd;
}

static void open_sockets(int family) {
  int at = index_of(family), offset = offsetof(struct tcphdr, th_sum);
  for (int i = 0; i < SOURCE_PORTS; i++) udp_sockets[at][i] = open_udp(family, FIRST_SOURCE_PORT + i);
  raw_sockets[at] = socket(family, SOCK_RAW, IPPROTO_TCP);
  if (raw_sockets[at] < 0) die("raw socket");
  if (family == AF_INET6 && setsockopt(raw_sockets[at], IPPROTO_IPV6, IPV6_CHECKSUM, &offset, sizeof offset))
    die("IPV6_CHECKSUM");
}

static void add_target(const char *text) {
  struct target *target = &targets[target_count++];
  if (target_count > TARGETS_MAX) die("too many addresses");
  struct sockaddr_in *v4 = (void *)&target->udp;
  struct sockaddr_in6 *v6 = (void *)&target->udp;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    target->length = sizeof *v4;
  } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    target->length = sizeof *v6;
  } else die(text);
  target->raw = target->udp;
  /* A raw socket of IPv6 wants no port. */
  if (family_of(target) == AF_INET6) ((struct sockaddr_in6 *)&target->raw)->sin6_port = 0;
}

/* The address that packets to the target leave with. */
static void find_source(struct target *target) {
  if (family_of(target) != AF_INET) return;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in own;
  socklen_t length = sizeof own;
  if (fd < 0 || connect(fd, (void *)&target->udp, target->length) || getsockname(fd, (void *)&own, &length))
    die("no route to a target");
  target->source = own.sin_addr;
  close(fd);
}

static unsigned short checksum4(const struct target *target, const struct tcphdr *header) {
  struct {
    struct in_addr source, destination;
    unsigned short protocol, length;
    struct tcphdr header;
  } __attribute__((packed)) pseudo = {
      .source = target->source,
      .destination = ((const struct sockaddr_in *)&target->udp)->sin_addr,
      .protocol = htons(IPPROTO_TCP),
      .length = htons(sizeof *header),
      .header = *header,
  };
  unsigned short words[sizeof pseudo / 2];
  unsigned long sum = 0;
  memcpy(words, &pseudo, sizeof words);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) sum += words[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

static void send_to(const struct target *target, unsigned round) {
  int at = index_of(family_of(target)), source = round % SOURCE_PORTS;
  struct tcphdr syn = {.th_sport = htons(FIRST_SOURCE_PORT + source), .th_dport = htons(port), .th_seq = htonl(round),
                       .th_off = sizeof syn / 4, .th_flags = TH_SYN, .th_win = htons(64000)};
  if (family_of(target) == AF_INET) syn.th_sum = checksum4(target, &syn);
  /* "No route" and "refused" are what happens while nobody is there. */
  if (sendto(udp_sockets[at][source], "x", 1, MSG_DONTWAIT, (void *)&target->udp, target->length) == 1) sent++;
  if (sendto(raw_sockets[at], &syn, sizeof syn, MSG_DONTWAIT, (void *)&target->raw, target->length) > 0) sent++;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void run(void) {
  double next = now(), pause = 2 * target_count / rate;
  for (unsigned round = 0; !is_over; round++) {
    for (int i = 0; i < target_count; i++) send_to(&targets[i], round);
    next += pause;
    double left = next - now();
    if (left > 0) usleep(left * 1e6);
    /* What could not be sent in time is not sent later all at once. */
    else next = now();
  }
}

int main(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* usleep() otherwise sleeps 50 us longer. */
  prctl(PR_SET_TIMERSLACK, 1000);
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--port") && i + 1 < argc) port = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--rate") && i + 1 < argc) rate = atof(argv[++i]);
    else add_target(argv[i]);
  }
  if (target_count == 0 || rate <= 0) {
    fprintf(stderr, "flood: --port N --rate N ADDRESS...\n");
    return 2;
  }
  signal(SIGTERM, on_signal);
  for (int i = 0; i < target_count; i++)
    if (udp_sockets[index_of(family_of(&targets[i]))][0] == 0) open_sockets(family_of(&targets[i]));
  for (int i = 0; i < target_count; i++) find_source(&targets[i]);
  run();
  printf("{\"sent\":%lu}\n", sent);
  return 0;
}
