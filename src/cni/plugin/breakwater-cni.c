/*
 * The CNI plugin binary: what a container runtime executes for every pod that starts or stops.
 *
 * It carries CNI_* and stdin to the agent's unix socket as one framed request (src/cni/frame.ts), prints the answer and
 * exits. All knowledge is in the agent; this program only has to be quick (this one starts in 0.25 ms, Node in
 * 60 ms), never to hang, and to say something useful while the agent is away:
 *
 *   VERSION       answered here
 *   ADD CHECK GC  CNI error 11, try again later
 *   STATUS        CNI error 50, not available
 *   DEL           a tombstone beside the socket, consumed by the agent when it is back; success
 *
 * Buffers are fixed and static, nothing is allocated. Rules: https://www.cni.dev/docs/spec/ (1.1.0).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "json-scan.h"

#define DEFAULT_SOCKET "/run/breakwater/cni.sock"
#define NEWEST_VERSION "1.1.0"
#define STDIN_LIMIT (1024 * 1024)
#define ANSWER_LIMIT (1024 * 1024)
#define DEFAULT_TIMEOUT_MS 60000
/* magic, payload length (u32), start of the request in ms since 1970 (u64); all numbers big endian. */
#define REQUEST_HEADER 16
/* magic, exit status (u32), length of the text (u32). */
#define ANSWER_HEADER 12

/* CNI spec 1.1.0, section "Error": the codes this side uses. */
enum { CODE_ENVIRONMENT = 4, CODE_IO = 5, CODE_DECODE = 6, CODE_CONFIG = 7, CODE_AGAIN = 11, CODE_NOT_AVAILABLE = 50 };

/* The fields of a request in wire order; stdin is the seventh. */
enum { COMMAND, CONTAINERID, NETNS, IFNAME, ARGS, PATH, FIELDS };
static const char *const FIELD_ENV[FIELDS] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS",
                                              "CNI_IFNAME",  "CNI_ARGS",        "CNI_PATH"};
static const char *const COMMANDS[] = {"ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"};
static const char *const VERSIONS[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- errors ------------------------------------------------------------------------------------------------- */

static char error_version[16] = NEWEST_VERSION;

/* The version of the config where it reads like one: digits and dots. */
static void learn_version(const unsigned char *config, size_t length) {
  char version[sizeof error_version];
  if (json_top_string(config, length, "cniVersion", version, sizeof version) != 1) return;
  if (version[0] && version[strspn(version, "0123456789.")] == 0) strcpy(error_version, version);
}

/* Text as the inside of a JSON string; what is not printable ASCII becomes '?'. Cuts where out is full. */
static void json_escape(const char *text, char *out, size_t size) {
  size_t used = 0;
  for (; *text && used + 3 < size; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') out[used++] = '\\';
    out[used++] = c < 0x20 || c > 0x7e ? '?' : (char)c;
  }
  out[used] = 0;
}

static int write_all(int fd, const void *data, size_t length) {
  const char *at = data;
  while (length > 0) {
    ssize_t n = write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    at += n, length -= (size_t)n;
  }
  return 1;
}

/* Prints a CNI error object; the return value is the exit status. */
static int fail(int code, const char *msg, const char *details) {
  static char m[1024], d[1024], out[2400];
  json_escape(msg, m, sizeof m);
  json_escape(details, d, sizeof d);
  int n = snprintf(out, sizeof out, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"%s\",\"details\":\"%s\"}\n", error_version,
                   code, m, d);
  write_all(1, out, (size_t)n);
  return 1;
}

/* ---- time-bounded I/O ----------------------------------------------------------------------------------------- */

static int64_t clock_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until fd is ready; 0 with errno = ETIMEDOUT at the deadline (monotonic ms). */
static int wait_ready(int fd, short events, int64_t deadline) {
  for (;;) {
    int64_t left = deadline - clock_ms(CLOCK_MONOTONIC);
    struct pollfd p = {.fd = fd, .events = events};
    int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
    if (n > 0) return 1;
    if (n == 0) return errno = ETIMEDOUT, 0;
    if (errno != EINTR) return 0;
  }
}

/* Reads until the buffer is full or the other side ends; -1 on error or at the deadline. */
static ssize_t read_full(int fd, unsigned char *out, size_t size, int64_t deadline) {
  size_t used = 0;
  while (used < size) {
    if (!wait_ready(fd, POLLIN, deadline)) return -1;
    ssize_t n = read(fd, out + used, size - used);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    used += (size_t)n;
  }
  return (ssize_t)used;
}

static int send_all(int fd, const unsigned char *data, size_t length, int64_t deadline) {
  while (length > 0) {
    if (!wait_ready(fd, POLLOUT, deadline)) return 0;
    ssize_t n = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return 0;
    data += n, length -= (size_t)n;
  }
  return 1;
}

/* ---- the request ---------------------------------------------------------------------------------------------- */

static const char *field[FIELDS];
static unsigned char config[STDIN_LIMIT + 1];
static size_t config_length;
/* Header, then length and bytes of the six variables and of stdin. A Linux environment string is 128 KiB at most. */
#define FIELD_LIMIT (128 * 1024)
static unsigned char frame[REQUEST_HEADER + (FIELDS + 1) * 4 + FIELDS * FIELD_LIMIT + STDIN_LIMIT];
static size_t frame_length;

static void put32(unsigned char *p, uint32_t v) {
  p[0] = (unsigned char)(v >> 24), p[1] = (unsigned char)(v >> 16), p[2] = (unsigned char)(v >> 8), p[3] = (unsigned char)v;
}

static uint32_t get32(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_field(const void *data, size_t length) {
  put32(frame + frame_length, (uint32_t)length);
  memcpy(frame + frame_length + 4, data, length);
  frame_length += 4 + length;
}

/* False when a variable is longer than Linux lets one be. */
static int build_frame(int64_t started_ms) {
  frame_length = REQUEST_HEADER;
  for (int i = 0; i < FIELDS; i++) {
    size_t length = strlen(field[i]);
    if (length > FIELD_LIMIT) return 0;
    put_field(field[i], length);
  }
  put_field(config, config_length);
  memcpy(frame, "BWQ1", 4);
  put32(frame + 4, (uint32_t)(frame_length - REQUEST_HEADER));
  put32(frame + 8, (uint32_t)((uint64_t)started_ms >> 32));
  put32(frame + 12, (uint32_t)started_ms);
  return 1;
}

/* ---- the answer ----------------------------------------------------------------------------------------------- */

static unsigned char answer[ANSWER_LIMIT];

/* Receives one answer whole; its length, or -1 with errno (EPROTO: not an answer, EPIPE: cut short). */
static ssize_t receive_answer(int fd, int64_t deadline, uint32_t *status) {
  unsigned char header[ANSWER_HEADER];
  ssize_t n = read_full(fd, header, sizeof header, deadline);
  if (n < 0) return -1;
  if (n < ANSWER_HEADER) return errno = EPIPE, -1;
  *status = get32(header + 4);
  uint32_t length = get32(header + 8);
  if (memcmp(header, "BWA1", 4) != 0 || length > sizeof answer) return errno = EPROTO, -1;
  n = read_full(fd, answer, length, deadline);
  if (n >= 0 && (uint32_t)n < length) return errno = EPIPE, -1;
  return n;
}

/* One request and its answer. */
static ssize_t ask_agent(const char *socket_path, int64_t deadline, uint32_t *status) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, socket_path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  /* connect() on a unix socket waits for room in the backlog as long as SO_SNDTIMEO allows (unix(7)), then EAGAIN. */
  int64_t left = deadline - clock_ms(CLOCK_MONOTONIC);
  if (left < 1) left = 1;
  struct timeval patience = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ssize_t length = -1;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
    /* A server that refuses early (too large, unreadable) has answered before it closed: read that even when send failed. */
    int sent = send_all(fd, frame, frame_length, deadline), saved = errno;
    length = !sent && saved == ETIMEDOUT ? -1 : receive_answer(fd, deadline, status);
    if (length < 0 && !sent) errno = saved;
  }
  int saved = errno;
  close(fd);
  errno = saved == EAGAIN ? ETIMEDOUT : saved;
  return length;
}

/* ---- while the agent is away ------------------------------------------------------------------------------------ */

static void append_safe(char *out, size_t size, const char *text) {
  size_t used = strlen(out);
  for (; *text && used + 1 < size; text++, used++) {
    int safe = (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z') ||
               *text == '-' || *text == '_';
    out[used] = safe ? *text : '_';
  }
  out[used] = 0;
}

/* FNV-1a, 64 bits, over container and interface: two names that sanitise alike still get two files. */
static uint64_t attachment_hash(void) {
  uint64_t h = 14695981039346656037u;
  for (const char *p = field[CONTAINERID]; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
  h *= 1099511628211u;
  for (const char *p = field[IFNAME]; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
  return h;
}

/*
 * Leaves the framed DEL in <directory of the socket>/pending-del, whole or not at all (written aside, then renamed).
 * The agent takes it from there; src/cni/tombstones.ts is the reader.
 */
static int leave_tombstone(const char *socket_path) {
  char directory[sizeof(((struct sockaddr_un *)0)->sun_path)], id[65] = "", interface[17] = "";
  char final[sizeof directory + 128], temporary[sizeof final + 32];
  strcpy(directory, socket_path);
  *strrchr(directory, '/') = 0;
  append_safe(id, sizeof id, field[CONTAINERID]);
  append_safe(interface, sizeof interface, field[IFNAME]);
  if (directory[0]) mkdir(directory, 0700);
  snprintf(final, sizeof final, "%s/pending-del", directory);
  if (mkdir(final, 0700) < 0 && errno != EEXIST) return 0;
  snprintf(temporary, sizeof temporary, "%s/.%d-%016llx", final, (int)getpid(), (unsigned long long)attachment_hash());
  size_t used = strlen(final);
  snprintf(final + used, sizeof final - used, "/%s_%s-%016llx.del", id, interface, (unsigned long long)attachment_hash());
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return 0;
  int done = write_all(fd, frame, frame_length) && fsync(fd) == 0;
  int saved = errno;
  done = close(fd) == 0 && done;
  if (done && rename(temporary, final) == 0) return 1;
  if (done) saved = errno;
  unlink(temporary);
  errno = saved;
  return 0;
}

static int agent_away(const char *socket_path, int error) {
  static char msg[256], details[512];
  const char *command = field[COMMAND];
  const char *what = error == ETIMEDOUT ? "does not answer in time" : "is not running";
  if (error == EPROTO) what = "sent something that is no answer";
  if (error == EPIPE || error == ECONNRESET) what = "ended before it answered";
  snprintf(details, sizeof details,
           "socket %s: %s. See whether the breakwater agent of this node runs (its pod and log) and whether the socket path "
           "in the CNI configuration is the agent's",
           socket_path, strerror(error));
  if (strcmp(command, "DEL") == 0) {
    if (!field[CONTAINERID][0] || !field[IFNAME][0])
      return fail(CODE_ENVIRONMENT, "DEL needs CNI_CONTAINERID and CNI_IFNAME", details);
    if (leave_tombstone(socket_path)) return 0;
    snprintf(msg, sizeof msg, "Breakwater agent %s and the deletion cannot be left for it: %s", what, strerror(errno));
    return fail(CODE_AGAIN, msg, details);
  }
  int status = strcmp(command, "STATUS") == 0;
  snprintf(msg, sizeof msg, "Breakwater agent %s; %s", what, status ? "no pod can be attached" : "try again later");
  return fail(status ? CODE_NOT_AVAILABLE : CODE_AGAIN, msg, details);
}

/* ---- main ------------------------------------------------------------------------------------------------------- */

static int known(const char *const *list, size_t count, const char *value) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], value) == 0) return 1;
  return 0;
}

/* CNI spec 1.1.0, VERSION: the version of the input is given back; the newest where there is none we speak. */
static int print_versions(void) {
  char out[256];
  const char *version = known(VERSIONS, COUNT(VERSIONS), error_version) ? error_version : NEWEST_VERSION;
  int n = snprintf(out, sizeof out, "{\"cniVersion\":\"%s\",\"supportedVersions\":[", version);
  for (size_t i = 0; i < COUNT(VERSIONS); i++)
    n += snprintf(out + n, sizeof out - (size_t)n, "%s\"%s\"", i ? "," : "", VERSIONS[i]);
  n += snprintf(out + n, sizeof out - (size_t)n, "]}\n");
  return write_all(1, out, (size_t)n) ? 0 : 1;
}

/* BREAKWATER_CNI_SOCKET, else "socket" of the configuration, else the default. False after printing an error. */
static int choose_socket(char *out, size_t size) {
  static char text[1024];
  const char *env = getenv("BREAKWATER_CNI_SOCKET");
  int from_env = env && *env;
  const char *path = DEFAULT_SOCKET;
  int found = from_env ? 0 : json_top_string(config, config_length, "socket", text, sizeof text);
  if (from_env) path = env;
  else if (found == 1) path = text;
  else if (found < 0) {
    /* Cut off or no object: where its agent listens cannot be known, and another's must not be asked. */
    fail(CODE_DECODE, "Cannot decode the network configuration on stdin", "It must be a JSON object");
    return 0;
  }
  if (path[0] == '/' && path[1] && strlen(path) < size) return strcpy(out, path), 1;
  fail(from_env ? CODE_ENVIRONMENT : CODE_CONFIG,
       from_env ? "BREAKWATER_CNI_SOCKET is no absolute path of at most 107 bytes"
                : "socket in the CNI configuration is no absolute path of at most 107 bytes",
       path);
  return 0;
}

static int64_t timeout_ms(void) {
  const char *text = getenv("BREAKWATER_CNI_TIMEOUT_MS");
  long value = text ? atol(text) : 0;
  return value >= 1 && value <= 600000 ? value : DEFAULT_TIMEOUT_MS;
}

static int run(void) {
  struct sockaddr_un sizing;
  char socket_path[sizeof sizing.sun_path];
  int64_t started = clock_ms(CLOCK_REALTIME), deadline = clock_ms(CLOCK_MONOTONIC) + timeout_ms();
  for (int i = 0; i < FIELDS; i++) {
    const char *value = getenv(FIELD_ENV[i]);
    field[i] = value ? value : "";
  }
  if (!known(COMMANDS, COUNT(COMMANDS), field[COMMAND]))
    return fail(CODE_ENVIRONMENT, "CNI_COMMAND is missing or unknown", "It must be ADD, DEL, CHECK, GC, STATUS or VERSION");
  ssize_t n = read_full(0, config, sizeof config, deadline);
  if (n < 0) return fail(CODE_IO, "Cannot read the network configuration from stdin", strerror(errno));
  if (n > STDIN_LIMIT)
    return fail(CODE_DECODE, "The network configuration on stdin is larger than 1 MiB", "Nothing was sent to the agent");
  config_length = (size_t)n;
  learn_version(config, config_length);
  if (strcmp(field[COMMAND], "VERSION") == 0) return print_versions();
  if (!choose_socket(socket_path, sizeof socket_path)) return 1;
  if (!build_frame(started)) return fail(CODE_ENVIRONMENT, "A CNI_ variable is longer than 128 KiB", "CNI_ARGS or CNI_PATH");
  uint32_t status = 1;
  ssize_t length = ask_agent(socket_path, deadline, &status);
  if (length < 0) return agent_away(socket_path, errno);
  if (!write_all(1, answer, (size_t)length)) return 1;
  return status == 0 ? 0 : 1;
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  return run();
}
