/* A process that forks again and again while its threads allocate; every child verifies what it got and goes
   on.

   fork_stress [SECONDS [THREADS [SEED]]] */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "object.h"

enum { TABLE_SIZE = 1000, MAX_THREADS = 64, CHILD_SECONDS = 120 };

/* The main thread's alone: nobody changes these while a child is made, so a child must find each byte. */
static struct object table[TABLE_SIZE];
static struct dice dices[MAX_THREADS + 1];
static atomic_bool stop;

static void churn(struct object *objects, int count, struct dice *dice, int operations) {
  for (int i = 0; i < operations; i++) {
    struct object *object = &objects[dice_below(dice, count)];
    size_t size = dice_size(dice, dice_below(dice, 64) ? 11 : 19);
    if (object->bytes == NULL)
      object_allocate(object, size, dice);
    else if (dice_below(dice, 4) == 0)
      object_reallocate(object, size, dice);
    else
      object_free(object);
  }
}

static void free_all(struct object *objects, int count) {
  for (int i = 0; i < count; i++) object_free(&objects[i]);
}

static void *churn_until_stopped(void *dice) {
  struct object own[200] = {{0}};
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) churn(own, 200, dice, 100);
  free_all(own, 200);
  return NULL;
}

static void *churn_briefly(void *dice) {
  struct object own[200] = {{0}};
  churn(own, 200, dice, 2000);
  free_all(own, 200);
  return NULL;
}

/* Verifies what came with the fork, then uses the heap as a program does, with a thread of its own. */
static void live_on(void) {
  struct dice thread_dice = {dice_next(&dices[0])};
  pthread_t thread;
  alarm(CHILD_SECONDS); /* a lock that nobody will release: the parent reports the signal */
  for (int i = 0; i < TABLE_SIZE; i++)
    if (table[i].bytes) object_verify(&table[i]);
  int error = pthread_create(&thread, NULL, churn_briefly, &thread_dice);
  churn(table, TABLE_SIZE, &dices[0], 2000);
  if (error == 0) pthread_join(thread, NULL);
}

static void be_child(bool forks_again) {
  int status = 0;
  live_on();
  if (forks_again) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      live_on();
      _exit(0);
    }
    waitpid(grandchild, &status, 0);
  }
  free_all(table, TABLE_SIZE);
  _exit(status == 0 ? 0 : 1);
}

/* False when the child found something, or was stuck. */
static bool fork_once(void) {
  int status = 0;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) be_child(dice_below(&dices[0], 8) == 0);
  churn(table, TABLE_SIZE, &dices[0], 1000);
  if (child > 0) waitpid(child, &status, 0);
  if (status != 0) fprintf(stderr, "fork_stress: a child ends with status %#x\n", status);
  return status == 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 5;
  int threads = argc > 2 ? atoi(argv[2]) : 4;
  uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)time(NULL);
  if (threads < 0 || threads > MAX_THREADS || seconds <= 0) {
    fprintf(stderr, "usage: fork_stress [SECONDS [THREADS [SEED]]]\n");
    return 2;
  }
  printf("fork_stress: seed %llu, %d threads, %.1f s\n", (unsigned long long)seed, threads, seconds);

  pthread_t ids[MAX_THREADS];
  for (int i = 0; i <= threads; i++) dices[i].state = seed * (MAX_THREADS + 1) + i;
  for (int i = 0; i < threads; i++)
    if (pthread_create(&ids[i], NULL, churn_until_stopped, &dices[i + 1]) != 0) return 1;

  bool good = true;
  int forks = 0;
  for (double end = now() + seconds; good && now() < end; forks++) good = fork_once();
  atomic_store(&stop, true);
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  free_all(table, TABLE_SIZE);
  printf("fork_stress: %d forks, %s\n", forks, good ? "every byte right" : "failed");
  return good ? 0 : 1;
}
