/* A library whose constructor waits for a thread that it starts, which calls wrapped functions for the first time: the
   loading thread holds the dynamic linker's lock meanwhile. */
#include <pthread.h>
#include <stddef.h>
#include <threads.h>
#include <unistd.h>

static int calls;

static void *call(void *unused) {
  int end[2];
  if (pipe(end) != 0) return unused;
  if (write(end[1], "x", 1) == 1) {
    char byte;
    calls += read(end[0], &byte, 1) == 1;
  }
  close(end[0]);
  close(end[1]);
  return unused;
}

static int call_too(void *unused) {
  (void)unused;
  char name[256];
  calls += ttyname_r(-1, name, sizeof name) != 0;
  return 0;
}

__attribute__((constructor)) static void load(void) {
  pthread_t first;
  thrd_t second;
  if (pthread_create(&first, NULL, call, NULL) == 0) pthread_join(first, NULL);
  if (thrd_create(&second, call_too, NULL) == thrd_success) thrd_join(second, NULL);
}

int plugin_test(void);
int plugin_test(void) { return calls == 2 ? 0 : 1; }
