/* Everything that must go on undisturbed while pages are meshed, all at once and checked to the byte.

   mesh_stress [SECONDS [THREADS [SEED [PART...]]]]

   Runs with any malloc; with libmesh, under LD_PRELOAD and with MESH_PERIOD_MS=1, it is a test. Ends with status 1 and
   one line at the first thing that is wrong, and aborts when a part stands still. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"
#include "mallctl.h"
#include "stress.h"
#include "table.h"

enum { HANG_SECONDS = 30 };

int stress_threads = 4;
static uint64_t seed;
static atomic_bool stop;

static const struct part {
  const char *name;
  void (*run)(struct worker *w);
  bool first;    /* before the others, with no other thread */
  bool many;     /* THREADS of them */
  bool by_name;  /* only if asked for */
} parts[] = {
    {"close", close_part, true, false, false},
    {"alone", alone_part, true, false, false},
    {"bare", bare_part, true, false, true},
    {"write", write_part, false, true, false},
    {"order", order_part, false, false, false},
    {"fork", fork_part, false, false, false},
    {"kernel", kernel_part, false, false, false},
    {"libc", libc_part, false, false, false},
    {"mask", mask_part, false, false, true},
    {"signal", signal_part, false, false, false},
    {"fault", fault_part, false, false, false},
    {"futex", futex_part, false, false, false},
    {"shared", shared_part, false, false, false},
    {"compact", compact_part, false, false, false},
    {"snatch", snatch_part, false, false, true},
};
enum { PARTS = sizeof parts / sizeof *parts };

static struct worker workers[PARTS][MAX_THREADS];
static bool chosen[PARTS];

bool running(void) { return !atomic_load_explicit(&stop, memory_order_relaxed); }

void fail(const char *format, ...) {
  char text[600];
  int n = snprintf(text, sizeof text, "mesh_stress: pid %d, seed %llu: ", (int)getpid(), (unsigned long long)seed);
  va_list arguments;
  va_start(arguments, format);
  n += vsnprintf(text + n, sizeof text - (size_t)n, format, arguments);
  va_end(arguments);
  n = n < (int)sizeof text - 1 ? n : (int)sizeof text - 2;
  text[n] = '\n';
  if (write(2, text, (size_t)n + 1) < 0) _exit(3);
  if (getenv("MESH_STRESS_PAUSE") != NULL) /* for a debugger */
    for (;;) pause();
  _exit(1);
}

void *plain_memory(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(p != MAP_FAILED);
  return p;
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

void pause_up_to(struct dice *dice, unsigned microseconds) {
  size_t us = dice_below(dice, microseconds + 1);
  if (us > microseconds / 4) usleep((useconds_t)us);
}

void join_new_thread(void *(*start)(void *), void *argument) {
  pthread_t thread;
  int error = pthread_create(&thread, NULL, start, argument);
  if (error != 0) fail("pthread_create: %d", error);
  pthread_join(thread, NULL);
}

/* compact: meshes all that can be, again and again, without waiting for spans to settle. */
void compact_part(struct worker *w) {
  while (running()) {
    compact();
    did_one(w);
    pause_up_to(&w->dice, 1000);
  }
}

/* ---------------------------------------------------------------------------------- the parts together */

static int threads_of(const struct part *p) { return p->many ? stress_threads : 1; }

/* Its thread counts only while it runs: a part that ended is no hang. */
static atomic_int at_work[PARTS];

static void *run_worker(void *argument) {
  struct worker *w = argument;
  int i = (int)((w - &workers[0][0]) / MAX_THREADS);
  at_work[i]++;
  parts[i].run(w);
  at_work[i]--;
  return NULL;
}

static unsigned long operations_of(int part) {
  unsigned long sum = 0;
  for (int i = 0; i < threads_of(&parts[part]); i++) sum += workers[part][i].operations;
  return sum;
}

/* Not by usleep, in which libmesh works: it must not stand still with the others. */
static void wait_a_second(void) {
  const struct timespec t = {1, 0};
  syscall(SYS_nanosleep, &t, NULL);
}

static _Noreturn void report_hang(int part) {
  char text[200];
  int n = snprintf(text, sizeof text, "mesh_stress: hang: nothing in part %s for %d s, seed %llu\n", parts[part].name,
                   HANG_SECONDS, (unsigned long long)seed);
  if (write(2, text, (size_t)n) < 0) _exit(3);
  while (getenv("MESH_STRESS_PAUSE") != NULL) pause();
  abort();
}

/* Every part must do something every now and then. Allocates nothing. */
static void *watch(void *unused) {
  (void)unused;
  unsigned long last[PARTS] = {0};
  uint64_t since[PARTS] = {0};
  for (;;) {
    const uint64_t now = now_ns();
    for (int i = 0; i < PARTS; i++) {
      unsigned long operations = operations_of(i);
      if (at_work[i] == 0 || operations != last[i] || since[i] == 0) since[i] = now;
      last[i] = operations;
      if (now - since[i] > HANG_SECONDS * UINT64_C(1000000000)) report_hang(i);
    }
    wait_a_second();
  }
}

static void run_parts(double seconds) {
  pthread_t thread[PARTS][MAX_THREADS], watchdog;
  must(pthread_create(&watchdog, NULL, watch, NULL) == 0);
  for (int i = 0; i < PARTS; i++)
    if (chosen[i] && parts[i].first) join_new_thread(run_worker, &workers[i][0]);
  const uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
  for (int i = 0; i < PARTS; i++)
    for (int k = 0; chosen[i] && !parts[i].first && k < threads_of(&parts[i]); k++)
      must(pthread_create(&thread[i][k], NULL, run_worker, &workers[i][k]) == 0);
  while (now_ns() < end) usleep(50000);
  stop = true;
  for (int i = 0; i < PARTS; i++)
    for (int k = 0; chosen[i] && !parts[i].first && k < threads_of(&parts[i]); k++) pthread_join(thread[i][k], NULL);
}

static void prepare(void) {
  const struct rlimit none = {0, 0}; /* hundreds of megabytes, and parts end children by signals */
  setrlimit(RLIMIT_CORE, &none);
  tables = plain_memory((size_t)(stress_threads + 1) * sizeof *tables);
  for (int i = 0; i <= stress_threads; i++) pthread_mutex_init(&tables[i].lock, NULL);
  for (int i = 0; i < PARTS; i++)
    for (int k = 0; k < MAX_THREADS; k++) {
      workers[i][k].part = parts[i].name;
      workers[i][k].number = k;
      workers[i][k].dice.state = (seed * PARTS + (uint64_t)i) * MAX_THREADS + (uint64_t)k;
    }
}

static bool choose(int count, char **names) {
  for (int i = 0; i < PARTS; i++) chosen[i] = count == 0 && !parts[i].by_name;
  for (int n = 0; n < count; n++) {
    int i = 0;
    while (i < PARTS && strcmp(parts[i].name, names[n]) != 0) i++;
    if (i == PARTS) return false;
    chosen[i] = true;
  }
  return true;
}

static int usage(void) {
  fprintf(stderr, "usage: mesh_stress [SECONDS [THREADS [SEED [PART...]]]], parts:");
  for (int i = 0; i < PARTS; i++) fprintf(stderr, " %s", parts[i].name);
  fprintf(stderr, "\n");
  return 2;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 8;
  if (argc > 2) stress_threads = atoi(argv[2]);
  seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)time(NULL);
  if (seconds <= 0 || stress_threads < 1 || stress_threads > MAX_THREADS) return usage();
  if (!choose(argc > 4 ? argc - 4 : 0, argv + 4)) return usage();
  printf("mesh_stress: seed %llu, %d threads, %.1f s\n", (unsigned long long)seed, stress_threads, seconds);
  fflush(stdout);
  prepare();
  run_parts(seconds);
  for (int i = 0; i < PARTS; i++) {
    if (chosen[i]) printf("%s: %lu\n", parts[i].name, operations_of(i));
    if (chosen[i] && parts[i].run == kernel_part) kernel_print();
  }
  return 0;
}
