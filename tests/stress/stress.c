/* Threads that allocate, resize, hand over and free objects of all sizes, verifying every byte of every
   object.

   stress [SECONDS [THREADS [SEED [LIVE_MB]]]]

   Each worker's memory is a table of objects. Workers swap objects with each other through mailboxes, and end
   and start anew all the time; a table outlives its thread, so that most objects are freed by another thread
   than the one that allocated them. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "object.h"

enum { TABLE_SIZE = 4096, MAILBOX_COUNT = 64, MAX_THREADS = 256, LARGEST_BITS = 23 };

struct worker {
  struct object table[TABLE_SIZE];
  struct dice dice;
  size_t live_bytes;
  size_t max_live_bytes;
  unsigned long long operations;
};

struct mailbox {
  pthread_mutex_t lock;
  struct object object;
};

static struct worker workers[MAX_THREADS];
static struct mailbox mailboxes[MAILBOX_COUNT];
static atomic_bool stop;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Mostly small, and never so large that one object takes the greater part of what a worker may have. */
static size_t some_size(struct worker *worker) {
  unsigned bits = dice_below(&worker->dice, 16) ? 11 : dice_below(&worker->dice, 16) ? 16 : LARGEST_BITS;
  size_t size = dice_size(&worker->dice, bits);
  return size < worker->max_live_bytes / 8 ? size : size % 1024 + 1;
}

static void swap_with_mailbox(struct object *object, struct mailbox *mailbox) {
  pthread_mutex_lock(&mailbox->lock);
  struct object received = mailbox->object;
  mailbox->object = *object;
  pthread_mutex_unlock(&mailbox->lock);
  *object = received;
}

static void operate(struct worker *worker) {
  struct object *object = &worker->table[dice_below(&worker->dice, TABLE_SIZE)];
  size_t size = some_size(worker);
  worker->live_bytes -= object->size;
  if (object->bytes == NULL) {
    if (worker->live_bytes + size <= worker->max_live_bytes) object_allocate(object, size, &worker->dice);
  } else {
    switch (dice_below(&worker->dice, 8)) {
      case 0:
        swap_with_mailbox(object, &mailboxes[dice_below(&worker->dice, MAILBOX_COUNT)]);
        break;
      case 1:
        if (worker->live_bytes + size <= worker->max_live_bytes)
          object_reallocate(object, size, &worker->dice);
        break;
      default:
        object_free(object);
    }
  }
  worker->live_bytes += object->size;
  worker->operations++;
}

/* Now and then most of a table goes at once: that is what leaves spans sparse, and empties them. */
static void free_most(struct worker *worker) {
  for (int i = 0; i < TABLE_SIZE; i++) {
    if (dice_below(&worker->dice, 8) == 0) continue;
    worker->live_bytes -= worker->table[i].size;
    object_free(&worker->table[i]);
  }
}

static void *work(void *argument) {
  struct worker *worker = argument;
  size_t life = dice_size(&worker->dice, 17);
  if (dice_below(&worker->dice, 32) == 0) free_most(worker);
  for (size_t i = 0; i < life && !atomic_load_explicit(&stop, memory_order_relaxed); i++) operate(worker);
  return NULL;
}

/* One of these keeps one worker alive: thread after thread on the same table. */
static void *supervise(void *argument) {
  struct worker *worker = argument;
  while (!atomic_load(&stop)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, worker) != 0)
      work(worker);
    else
      pthread_join(thread, NULL);
  }
  return NULL;
}

static void run(double seconds, int threads) {
  pthread_t supervisors[MAX_THREADS];
  double end = now() + seconds;
  for (int i = 0; i < threads; i++) {
    if (pthread_create(&supervisors[i], NULL, supervise, &workers[i]) != 0) {
      fprintf(stderr, "stress: no thread\n");
      exit(1);
    }
  }
  while (now() < end) nanosleep(&(struct timespec){0, 20 * 1000 * 1000}, NULL);
  atomic_store(&stop, true);
  for (int i = 0; i < threads; i++) pthread_join(supervisors[i], NULL);
}

/* Verifies whatever is still alive, which is what freeing does. */
static void free_everything(int threads) {
  for (int i = 0; i < threads; i++)
    for (int j = 0; j < TABLE_SIZE; j++) object_free(&workers[i].table[j]);
  for (int i = 0; i < MAILBOX_COUNT; i++) object_free(&mailboxes[i].object);
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 5;
  int threads = argc > 2 ? atoi(argv[2]) : 4;
  uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)time(NULL);
  size_t live_mb = argc > 4 ? strtoull(argv[4], NULL, 10) : 128;
  if (threads < 1 || threads > MAX_THREADS || seconds <= 0 || live_mb < 1) {
    fprintf(stderr, "usage: stress [SECONDS [THREADS [SEED [LIVE_MB]]]]\n");
    return 2;
  }
  printf("stress: seed %llu, %d threads, %.1f s, %zu MB\n", (unsigned long long)seed, threads, seconds,
         live_mb);
  fflush(stdout);

  for (int i = 0; i < MAILBOX_COUNT; i++) pthread_mutex_init(&mailboxes[i].lock, NULL);
  for (int i = 0; i < threads; i++) {
    workers[i].dice.state = seed * MAX_THREADS + i;
    workers[i].max_live_bytes = (live_mb << 20) / threads;
  }
  double start = now();
  run(seconds, threads);
  free_everything(threads);

  unsigned long long operations = 0;
  for (int i = 0; i < threads; i++) operations += workers[i].operations;
  printf("stress: %llu operations in %.1f s, every byte right\n", operations, now() - start);
  return 0;
}
