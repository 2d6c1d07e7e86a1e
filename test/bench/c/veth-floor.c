/*
 * veth-floor: the least that giving a pod its network costs, in C and raw rtnetlink: a veth pair whose other end is born
 * in the pod's namespace, that end up, its address, two routes inside, one outside. Then the pairs are deleted one by one.
 *
 *   veth-floor COUNT PREFIX     namespaces PREFIX0 … PREFIX(COUNT-1); prints {"addMs": […], "delMs": […]}
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what, int error) {
  fprintf(stderr, "veth-floor: %s: %s\n", what, strerror(error));
  exit(2);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

struct message {
  char bytes[1024];
  struct nlmsghdr *header;
};

static void begin(struct message *m, int type, int flags, const void *body, int length) {
  memset(m, 0, sizeof *m);
  m->header = (void *)m->bytes;
  m->header->nlmsg_type = type;
  m->header->nlmsg_flags = NLM_F_REQUEST | flags;
  m->header->nlmsg_len = NLMSG_LENGTH(length);
  memcpy(NLMSG_DATA(m->header), body, length);
}

static struct rtattr *put(struct message *m, int type, const void *data, int length) {
  struct rtattr *attribute = (void *)(m->bytes + NLMSG_ALIGN(m->header->nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(length);
  if (length) memcpy(RTA_DATA(attribute), data, length);
  m->header->nlmsg_len = NLMSG_ALIGN(m->header->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
  return attribute;
}

static void close_nest(struct message *m, struct rtattr *nest) {
  nest->rta_len = m->bytes + m->header->nlmsg_len - (char *)nest;
}

static void transact(int fd, struct message *m, const char *what) {
  char answer[8192];
  m->header->nlmsg_flags |= NLM_F_ACK;
  if (send(fd, m->bytes, m->header->nlmsg_len, 0) < 0 || recv(fd, answer, sizeof answer, 0) < 0) die(what, errno);
  struct nlmsghdr *header = (void *)answer;
  int error = header->nlmsg_type == NLMSG_ERROR ? ((struct nlmsgerr *)NLMSG_DATA(header))->error : 0;
  if (error) die(what, -error);
}

static int link_index(int fd, const char *name) {
  struct message m;
  char answer[8192];
  struct ifinfomsg body = {0};
  begin(&m, RTM_GETLINK, 0, &body, sizeof body);
  put(&m, IFLA_IFNAME, name, strlen(name) + 1);
  if (send(fd, m.bytes, m.header->nlmsg_len, 0) < 0 || recv(fd, answer, sizeof answer, 0) < 0) die(name, errno);
  return ((struct ifinfomsg *)NLMSG_DATA((struct nlmsghdr *)answer))->ifi_index;
}

static void create_pair(int fd, const char *name, int netns) {
  struct message m;
  struct ifinfomsg up = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, peer = {0};
  begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof up);
  put(&m, IFLA_IFNAME, name, strlen(name) + 1);
  struct rtattr *info = put(&m, IFLA_LINKINFO, NULL, 0);
  put(&m, IFLA_INFO_KIND, "veth", 5);
  struct rtattr *data = put(&m, IFLA_INFO_DATA, NULL, 0);
  struct rtattr *other = put(&m, VETH_INFO_PEER, &peer, sizeof peer);
  put(&m, IFLA_IFNAME, "eth0", 5);
  put(&m, IFLA_NET_NS_FD, &netns, sizeof netns);
  close_nest(&m, other);
  close_nest(&m, data);
  close_nest(&m, info);
  transact(fd, &m, "create veth pair");
}

static void set_up(int fd, int index) {
  struct message m;
  struct ifinfomsg up = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&m, RTM_NEWLINK, 0, &up, sizeof up);
  transact(fd, &m, "bring link up");
}

static void add_address(int fd, int index, in_addr_t ip) {
  struct message m;
  struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = index};
  begin(&m, RTM_NEWADDR, NLM_F_CREATE, &body, sizeof body);
  put(&m, IFA_LOCAL, &ip, sizeof ip);
  transact(fd, &m, "add address");
}

static void add_route(int fd, int index, const in_addr_t *to, const in_addr_t *gateway) {
  struct message m;
  struct rtmsg body = {.rtm_family = AF_INET,
                       .rtm_dst_len = to ? 32 : 0,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                       .rtm_type = RTN_UNICAST};
  begin(&m, RTM_NEWROUTE, NLM_F_CREATE, &body, sizeof body);
  if (to) put(&m, RTA_DST, to, sizeof *to);
  if (gateway) put(&m, RTA_GATEWAY, gateway, sizeof *gateway);
  put(&m, RTA_OIF, &index, sizeof index);
  transact(fd, &m, "add route");
}

static int attach(int node, int home, int netns, int i) {
  char name[16];
  snprintf(name, sizeof name, "floor%d", i);
  create_pair(node, name, netns);
  if (setns(netns, CLONE_NEWNET)) die("setns", errno);
  int pod = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (setns(home, CLONE_NEWNET)) die("setns", errno);
  in_addr_t ip = htonl(0x0af40001 + i), gateway = htonl(0xa9fe0101); /* 10.244.0.1 + i; 169.254.1.1 */
  int inside = link_index(pod, "eth0"), outside = link_index(node, name);
  set_up(pod, inside);
  add_address(pod, inside, ip);
  add_route(pod, inside, &gateway, NULL);
  add_route(pod, inside, NULL, &gateway);
  add_route(node, outside, &ip, NULL);
  close(pod);
  return outside;
}

static void print_numbers(const char *name, const double *values, int n) {
  printf("\"%s\":[", name);
  for (int i = 0; i < n; i++) printf(i ? ",%.4f" : "%.4f", values[i]);
  printf("]");
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int count = atoi(argv[1]), home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int node = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  double *add = calloc(count, sizeof *add), *del = calloc(count, sizeof *del);
  int *netns = calloc(count, sizeof *netns), *index = calloc(count, sizeof *index);
  for (int i = 0; i < count; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s%d", argv[2], i);
    if ((netns[i] = open(path, O_RDONLY | O_CLOEXEC)) < 0) die(path, errno);
  }
  for (int i = 0; i < count; i++) {
    double started = now_ms();
    index[i] = attach(node, home, netns[i], i);
    add[i] = now_ms() - started;
  }
  for (int i = 0; i < count; i++) {
    struct message m;
    struct ifinfomsg body = {.ifi_index = index[i]};
    double started = now_ms();
    begin(&m, RTM_DELLINK, 0, &body, sizeof body);
    transact(node, &m, "delete veth pair");
    del[i] = now_ms() - started;
  }
  printf("{");
  print_numbers("addMs", add, count);
  printf(",");
  print_numbers("delMs", del, count);
  printf("}\n");
  return 0;
}
