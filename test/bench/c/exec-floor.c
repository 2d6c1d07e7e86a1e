/*
 * exec-floor: the least that a plugin asking a daemon can cost. Without arguments it is that plugin: stdin to the unix
 * socket EXEC_FLOOR_SOCKET, its answer to stdout. "exec-floor serve" is a daemon that answers what it was sent.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char buffer[65536];

static size_t read_all(int fd) {
  size_t length = 0;
  ssize_t got;
  while (length < sizeof buffer && (got = read(fd, buffer + length, sizeof buffer - length)) > 0) length += got;
  return length;
}

static int serve(const struct sockaddr_un *address) {
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (const void *)address, sizeof *address) || listen(listener, 128)) return 1;
  /* The one who started this waits for a byte. */
  if (write(1, "\n", 1) != 1) return 1;
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    size_t length = read_all(connection);
    if (write(connection, buffer, length) < 0) return 1;
    close(connection);
  }
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = getenv("EXEC_FLOOR_SOCKET");
  if (path == NULL || strlen(path) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, path);
  if (argc > 1 && !strcmp(argv[1], "serve")) return serve(&address);
  size_t length = read_all(0);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (const void *)&address, sizeof address)) return 1;
  if (write(fd, buffer, length) < 0 || shutdown(fd, SHUT_WR)) return 1;
  length = read_all(fd);
  return write(1, buffer, length) < 0;
}
