// Producer and consumer: one thread of each pair allocates, the other frees, batches going through a bounded
// queue. handoff PAIRS BATCHES   (BATCHES for each pair)
#include <sched.h>
#include <stdatomic.h>

#include "workload.h"

enum { BATCH = 256, QUEUE = 16 };

typedef struct {
  void *blocks[BATCH];
  uint32_t sizes[BATCH];
  uint64_t first_key;
} Batch;

// One producer, one consumer. Who has to wait yields and does not sleep: a sleeper is mostly woken on the
// core of the thread that wakes it, and then the two would take turns instead of running at the same time.
typedef struct {
  _Alignas(64) atomic_size_t put;
  _Alignas(64) atomic_size_t taken;
  Batch *ring[QUEUE];
} Queue;

static Queue queues[MAX_THREADS / 2];
static size_t batches;

static void queue_put(Queue *queue, Batch *batch) {
  size_t put = atomic_load_explicit(&queue->put, memory_order_relaxed);
  while (put - atomic_load_explicit(&queue->taken, memory_order_acquire) == QUEUE) sched_yield();
  queue->ring[put % QUEUE] = batch;
  atomic_store_explicit(&queue->put, put + 1, memory_order_release);
}

static Batch *queue_take(Queue *queue) {
  size_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed);
  while (atomic_load_explicit(&queue->put, memory_order_acquire) == taken) sched_yield();
  Batch *batch = queue->ring[taken % QUEUE];
  atomic_store_explicit(&queue->taken, taken + 1, memory_order_release);
  return batch;
}

static uint64_t produce(size_t pair) {
  Rng rng = {pair + 1};
  for (size_t done = 0; done < batches; done++) {
    Batch *batch = must(malloc(sizeof *batch));
    batch->first_key = rng_next(&rng);
    for (size_t i = 0; i < BATCH; i++) {
      batch->sizes[i] = (uint32_t)rng_range(&rng, 16, 512);
      batch->blocks[i] = must(malloc(batch->sizes[i]));
      block_mark(batch->blocks[i], batch->sizes[i], batch->first_key + i);
    }
    queue_put(&queues[pair], batch);
  }
  return 0;
}

static uint64_t consume(size_t pair) {
  uint64_t sum = 0;
  for (size_t done = 0; done < batches; done++) {
    Batch *batch = queue_take(&queues[pair]);
    for (size_t i = 0; i < BATCH; i++) {
      block_check(batch->blocks[i], batch->sizes[i], batch->first_key + i);
      sum += batch->sizes[i];
      free(batch->blocks[i]);
    }
    sum += batch->first_key;
    free(batch);
  }
  return sum;
}

static uint64_t work(size_t index) { return index % 2 ? consume(index / 2) : produce(index / 2); }

int main(int argc, char **argv) {
  size_t pairs = arg_number(argc, argv, 1, 1);
  batches = arg_number(argc, argv, 2, 20000);
  if (pairs == 0 || pairs > MAX_THREADS / 2) die("bad number of pairs");
  return report(run_threads(2 * pairs, work));
}
