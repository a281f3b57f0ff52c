// A key-value store: a chained hash table that grows, string keys and string values; set, append, get and
// delete. keyvalue THREADS KEYS STEPS   (a store, KEYS and STEPS for each thread)
#include "workload.h"

typedef struct Entry {
  struct Entry *next;
  char *key;
  char *value;
  uint64_t hash;
} Entry;

typedef struct {
  Entry **buckets;
  size_t size;  // a power of two
  size_t used;
} Store;

enum { LONGEST_APPENDED = 1000 };

static size_t keys, steps;

static uint64_t hash_of(const char *key) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *key; key++) hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
  return hash;
}

// Where the entry is linked, or where it would be.
static Entry **store_find(Store *store, const char *key, uint64_t hash) {
  Entry **link = &store->buckets[hash & (store->size - 1)];
  while (*link && ((*link)->hash != hash || strcmp((*link)->key, key))) link = &(*link)->next;
  return link;
}

static void store_grow(Store *store) {
  Store bigger = {.size = store->size ? 2 * store->size : 16, .used = store->used};
  bigger.buckets = must(calloc(bigger.size, sizeof *bigger.buckets));
  for (size_t i = 0; i < store->size; i++) {
    for (Entry *entry = store->buckets[i], *next; entry; entry = next) {
      Entry **head = &bigger.buckets[entry->hash & (bigger.size - 1)];
      next = entry->next;
      entry->next = *head;
      *head = entry;
    }
  }
  free(store->buckets);
  *store = bigger;
}

static char *random_value(Rng *rng) {
  size_t length = rng_range(rng, 8, rng_below(rng, 8) ? 100 : 800);
  char *value = must(malloc(length + 1));
  memset(value, 'a' + (int)(length % 26), length);
  value[length] = 0;
  return value;
}

static void store_set(Store *store, const char *key, Rng *rng) {
  uint64_t hash = hash_of(key);
  if (store->used == store->size) store_grow(store);
  Entry **link = store_find(store, key, hash);
  if (*link) {
    free((*link)->value);
  } else {
    *link = must(malloc(sizeof **link));
    **link = (Entry){.key = must(strdup(key)), .hash = hash};
    store->used++;
  }
  (*link)->value = random_value(rng);
}

static void store_append(Store *store, const char *key, const char *text) {
  Entry *entry = *store_find(store, key, hash_of(key));
  if (!entry) return;
  size_t length = strlen(entry->value), more = strlen(text);
  if (length + more > LONGEST_APPENDED) return;
  entry->value = must(realloc(entry->value, length + more + 1));
  memcpy(entry->value + length, text, more + 1);
}

static uint64_t store_get(Store *store, const char *key) {
  Entry *entry = *store_find(store, key, hash_of(key));
  return entry ? strlen(entry->value) + (unsigned char)entry->value[0] : 1;
}

static void store_delete(Store *store, const char *key) {
  Entry **link = store_find(store, key, hash_of(key)), *entry = *link;
  if (!entry) return;
  *link = entry->next;
  free(entry->key);
  free(entry->value);
  free(entry);
  store->used--;
}

static uint64_t store_close(Store *store) {
  uint64_t sum = store->used;
  for (size_t i = 0; i < store->size; i++) {
    while (store->buckets[i]) {
      Entry *entry = store->buckets[i];
      store->buckets[i] = entry->next;
      sum += strlen(entry->value);
      free(entry->key);
      free(entry->value);
      free(entry);
    }
  }
  free(store->buckets);
  return sum;
}

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  Store store = {0};
  uint64_t sum = 0;
  char key[64];
  store_grow(&store);
  for (size_t step = 0; step < steps; step++) {
    size_t number = rng_below(&rng, keys);
    // Keys of 8 to 40 characters.
    snprintf(key, sizeof key, "key:%0*zu", (int)(4 + number % 33), number);
    switch (rng_below(&rng, 8)) {
      case 0:
        store_delete(&store, key);
        break;
      case 1:
        store_append(&store, key, "and so on, and so on");
        break;
      case 2:
      case 3:
        sum += store_get(&store, key);
        break;
      default:
        store_set(&store, key, &rng);
    }
  }
  return sum + store_close(&store);
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  keys = arg_number(argc, argv, 2, 100000);
  steps = arg_number(argc, argv, 3, 2000000);
  return report(run_threads(threads, work));
}
