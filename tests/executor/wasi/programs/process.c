// Arguments, environment, input, both outputs, clocks, sleep, poll, random, exit code.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double seconds(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) return -1;
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
  for (char **variable = environ; *variable; variable++) printf("env %s\n", *variable);
  char line[128];
  while (fgets(line, sizeof line, stdin)) printf("in %s", line);
  printf("time %d\n", time(NULL) > 1700000000);

  double before = seconds(CLOCK_MONOTONIC);
  struct timespec nap = {0, 30000000};
  printf("nap %d", nanosleep(&nap, NULL));
  double slept = seconds(CLOCK_MONOTONIC) - before;
  printf(" %d\n", slept >= 0.03 && slept < 3);

  struct pollfd ready = {1, POLLOUT, 0};
  printf("poll %d\n", poll(&ready, 1, 10000));
  printf("pause %d\n", poll(&ready, 0, 0) <= 0);

  unsigned char bytes[32] = {0}, zero[32] = {0};
  printf("random %d %d\n", getentropy(bytes, sizeof bytes), memcmp(bytes, zero, sizeof bytes) != 0);
  fprintf(stderr, "a line for the log\n");
  return 42;
}
