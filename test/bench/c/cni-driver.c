/*
 * cni-driver: times a CNI plugin as a container runtime sees it: posix_spawn, configuration on stdin, stdout to its end,
 * waitpid. Prints one JSON object: every latency, failures, CPU time of the plugins and of the processes they ask.
 *
 *   cni-driver --plugin FILE --config FILE --netns PREFIX --pool N [--count N] [--parallel N] MODE
 *
 *   block  ADD for `count` containers, then DEL for all of them
 *   pairs  `count` times ADD and then DEL, each worker with containers of its own
 *   churn  ADD for `count` containers one after the other, while as many others are deleted; then DEL for them
 *
 * Network namespaces are PREFIX0 … PREFIX(pool-1). A namespace is used again only when its last interface is gone: a
 * runtime makes a new one for each sandbox, and so never meets a link that is still being deleted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { TEXT_MAX = 65536, THREADS_MAX = 64, ENV_MAX = 256 };

static const char *plugin, *netns_prefix = "", *mode = "block";
static char config[TEXT_MAX];
static int count = 100, parallel = 1, pool = 1;
static pid_t counted_pid;

/* One container: where it lives, what its ADD answered. */
struct container {
  int netns;
  char *result;
};

static struct container *containers;
static double *add_ms, *del_ms;
static int home_netns;
static int *netns_fds;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static int failures;
static char first_failure[2048];

static void die(const char *what) {
  fprintf(stderr, "cni-driver: %s: %s\n", what, strerror(errno));
  exit(2);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  pthread_mutex_lock(&lock);
  if (failures++ == 0) vsnprintf(first_failure, sizeof first_failure, format, arguments);
  pthread_mutex_unlock(&lock);
  va_end(arguments);
}

/* ---- namespaces: the one that has rested longest is taken first ---- */

static int *free_netns, free_head, free_count;

static int take_netns(void) {
  pthread_mutex_lock(&lock);
  while (free_count == 0) pthread_cond_wait(&freed, &lock);
  int netns = free_netns[free_head];
  free_head = (free_head + 1) % pool;
  free_count--;
  pthread_mutex_unlock(&lock);
  return netns;
}

static void give_netns(int netns) {
  pthread_mutex_lock(&lock);
  free_netns[(free_head + free_count++) % pool] = netns;
  pthread_cond_signal(&freed);
  pthread_mutex_unlock(&lock);
}

/* Waits, untimed, until the interface of the namespace's last container is gone. */
static void await_empty(int netns) {
  const double patience_ms = 30000, deadline = now_ms() + patience_ms;
  for (;;) {
    if (setns(netns_fds[netns], CLONE_NEWNET)) die("setns");
    bool empty = if_nametoindex("eth0") == 0;
    if (setns(home_netns, CLONE_NEWNET)) die("setns");
    if (empty) return;
    if (now_ms() > deadline) {
      fail("eth0 is still in %s%d %.0f s after its DEL", netns_prefix, netns, patience_ms / 1000);
      return;
    }
    usleep(500);
  }
}

/* ---- one call of the plugin ---- */

static void write_all(int fd, const char *text, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, text, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text += written;
    length -= written;
  }
}

static int run_plugin(char **environment, const char *input, char *output) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) die("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  char *arguments[] = {(char *)plugin, NULL};
  pid_t pid;
  errno = posix_spawn(&pid, plugin, &actions, NULL, arguments, environment);
  if (errno) die(plugin);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  write_all(in[1], input, strlen(input));
  close(in[1]);
  size_t length = 0;
  for (;;) {
    ssize_t got = read(out[0], output + length, TEXT_MAX - 1 - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += got;
  }
  output[length] = 0;
  close(out[0]);
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) die("waitpid");
  return status;
}

/* The configuration with the ADD's result in it, as DEL gets it. */
static void with_result(char *input, const char *result) {
  size_t length = strrchr(config, '}') - config;
  memcpy(input, config, length);
  if (result == NULL || *result == 0) strcpy(input + length, "}");
  else snprintf(input + length, 2 * TEXT_MAX - length, ",\"prevResult\":%s}", result);
}

static double call(const char *command, int index, char *output) {
  char variables[5][512], *environment[ENV_MAX], input[2 * TEXT_MAX];
  const struct container *container = &containers[index];
  int n = 0;
  for (char **e = environ; *e && n < ENV_MAX - 8; e++)
    if (strncmp(*e, "CNI_", 4)) environment[n++] = *e;
  char *directory = strdup(plugin);
  *strrchr(directory, '/') = 0;
  snprintf(variables[0], 512, "CNI_COMMAND=%s", command);
  snprintf(variables[1], 512, "CNI_CONTAINERID=bench-%d-%d", getpid(), index);
  snprintf(variables[2], 512, "CNI_NETNS=%s%d", netns_prefix, container->netns);
  snprintf(variables[3], 512, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod%d", container->netns);
  snprintf(variables[4], 512, "CNI_PATH=%s", directory);
  free(directory);
  for (int i = 0; i < 5; i++) environment[n++] = variables[i];
  environment[n++] = "CNI_IFNAME=eth0";
  environment[n] = NULL;
  with_result(input, strcmp(command, "DEL") ? NULL : container->result);
  double started = now_ms();
  int status = run_plugin(environment, input, output);
  double took = now_ms() - started;
  if (status) fail("%s of container %d in %s%d: %.1500s", command, index, netns_prefix, container->netns, output);
  return took;
}

static void add(int index) {
  char output[TEXT_MAX];
  containers[index].netns = take_netns();
  await_empty(containers[index].netns);
  add_ms[index] = call("ADD", index, output);
  containers[index].result = strdup(output);
}

static void delete(int index) {
  char output[TEXT_MAX];
  del_ms[index] = call("DEL", index, output);
  free(containers[index].result);
  containers[index].result = NULL;
  give_netns(containers[index].netns);
}

static void add_and_delete(int index) {
  add(index);
  delete(index);
}

/* ---- many calls ---- */

static int next_index, end_index;
static void (*work)(int);

static void *worker(void *unused) {
  for (;;) {
    int index = __sync_fetch_and_add(&next_index, 1);
    if (index >= end_index) return unused;
    work(index);
  }
}

static void run_all(void (*what)(int), int first, int end, int threads) {
  pthread_t thread[THREADS_MAX];
  work = what;
  next_index = first;
  end_index = end;
  for (int i = 1; i < threads; i++)
    if (pthread_create(&thread[i], NULL, worker, NULL)) die("pthread_create");
  worker(NULL);
  for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
}

static void *delete_others(void *unused) {
  for (int i = count; i < 2 * count; i++) delete(i);
  return unused;
}

static void churn(void) {
  pthread_t thread;
  run_all(add, count, 2 * count, 1);
  if (pthread_create(&thread, NULL, delete_others, NULL)) die("pthread_create");
  run_all(add, 0, count, 1);
  pthread_join(thread, NULL);
  run_all(delete, 0, count, 1);
}

/* ---- CPU time ---- */

static double seconds_of(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

static double usage(int who) {
  struct rusage r;
  getrusage(who, &r);
  return seconds_of(r.ru_utime) + seconds_of(r.ru_stime);
}

/* CPU time of the plugins, and of the process that they ask. */
static double work_seconds(void) {
  clockid_t clock;
  struct timespec t = {0};
  if (counted_pid && clock_getcpuclockid(counted_pid, &clock) == 0) clock_gettime(clock, &t);
  return usage(RUSAGE_CHILDREN) + t.tv_sec + t.tv_nsec / 1e9;
}

/* All CPU time of the machine that was not idle (proc(5): user nice system idle iowait irq softirq steal). */
static double busy_seconds(void) {
  double v[8] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (!file || fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7) < 8)
    die("/proc/stat");
  fclose(file);
  return (v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / sysconf(_SC_CLK_TCK);
}

/* ---- output ---- */

static void print_numbers(const char *name, const double *values, int n) {
  printf("\"%s\":[", name);
  for (int i = 0; i < n; i++) printf(i ? ",%.4f" : "%.4f", values[i]);
  printf("],");
}

static void print_text(const char *name, const char *text) {
  printf("\"%s\":\"", name);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') printf("\\%c", *text);
    else if ((unsigned char)*text < ' ') putchar(' ');
    else putchar(*text);
  }
  printf("\"");
}

static void read_config(const char *path) {
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, config, sizeof config - 1);
  if (length < 0 || strrchr(config, '}') == NULL) die(path);
  close(fd);
}

static void parse(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] != '-') {
      mode = argv[i];
      continue;
    }
    const char *name = argv[i] + 2, *value = ++i < argc ? argv[i] : "";
    if (!strcmp(name, "plugin")) plugin = value;
    else if (!strcmp(name, "config")) read_config(value);
    else if (!strcmp(name, "netns")) netns_prefix = value;
    else if (!strcmp(name, "pool")) pool = atoi(value);
    else if (!strcmp(name, "count")) count = atoi(value);
    else if (!strcmp(name, "parallel")) parallel = atoi(value);
    else if (!strcmp(name, "pid")) counted_pid = atoi(value);
    else {
      fprintf(stderr, "cni-driver: there is no option --%s\n", name);
      exit(2);
    }
  }
  if (plugin == NULL || pool < 1 || parallel < 1 || parallel > THREADS_MAX) {
    fprintf(stderr, "cni-driver: --plugin, --pool and --parallel (up to %d) are needed\n", THREADS_MAX);
    exit(2);
  }
}

static void open_namespaces(void) {
  home_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  free_netns = calloc(pool, sizeof *free_netns);
  netns_fds = calloc(pool, sizeof *netns_fds);
  for (int i = 0; i < pool; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s%d", netns_prefix, i);
    netns_fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    if (netns_fds[i] < 0) die(path);
    give_netns(i);
  }
}

int main(int argc, char **argv) {
  parse(argc, argv);
  open_namespaces();
  containers = calloc(2 * count, sizeof *containers);
  add_ms = calloc(2 * count, sizeof *add_ms);
  del_ms = calloc(2 * count, sizeof *del_ms);
  double started = now_ms(), busy = busy_seconds(), own = usage(RUSAGE_SELF), cpu = work_seconds(), middle = 0;
  if (!strcmp(mode, "pairs")) run_all(add_and_delete, 0, count, parallel);
  else if (!strcmp(mode, "churn")) churn();
  else {
    run_all(add, 0, count, parallel);
    middle = work_seconds();
    run_all(delete, 0, count, parallel);
  }
  double wall = now_ms() - started, end = work_seconds();
  double foreign = (busy_seconds() - busy - (usage(RUSAGE_SELF) - own) - (end - cpu)) / (wall / 1e3);
  printf("{");
  print_numbers("addMs", add_ms, count);
  print_numbers("delMs", del_ms, count);
  printf("\"wallMs\":%.2f,\"addCpuMs\":%.3f,\"delCpuMs\":%.3f,\"foreignCores\":%.3f,\"failures\":%d,", wall,
         (middle - cpu) * 1e3, (end - middle) * 1e3, foreign < 0 ? 0 : foreign, failures);
  print_text("firstFailure", first_failure);
  printf("}\n");
  return 0;
}
