// Every form of operator new and delete, the new-handler, bad_alloc, containers and thread_local objects.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      failures++;                                                                  \
    }                                                                              \
  } while (0)

static int failures;

// Sizes and pointers that the compiler knows nothing about: it may drop a new and delete that it can see
// through.
template <typename T>
static T opaque(T value) {
  __asm__ volatile("" : "+r"(value) : : "memory");
  return value;
}

static bool is_aligned(const void *object, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(object) % alignment == 0;
}

static void *used(void *object, std::size_t size) {
  CHECK(object != nullptr);
  if (object) std::memset(object, 0x5A, size);
  return opaque(object);
}

static void plain_forms(std::size_t size) {
  ::operator delete(used(::operator new(opaque(size)), size));
  ::operator delete(used(::operator new(opaque(size)), size), size);
  ::operator delete(used(::operator new(opaque(size), std::nothrow), size));
  ::operator delete(used(::operator new(opaque(size), std::nothrow), size), std::nothrow);
  ::operator delete[](used(::operator new[](opaque(size)), size));
  ::operator delete[](used(::operator new[](opaque(size)), size), size);
  ::operator delete[](used(::operator new[](opaque(size), std::nothrow), size));
  ::operator delete[](used(::operator new[](opaque(size), std::nothrow), size), std::nothrow);
}

static void *used_aligned(void *object, std::size_t size, std::align_val_t to) {
  std::size_t alignment = static_cast<std::size_t>(to);
  if (!is_aligned(object, alignment)) {
    std::fprintf(stderr, "operator new of %zu bytes gives %p, which is not aligned to %zu\n", size, object,
                 alignment);
    failures++;
  }
  return used(object, size);
}

static void aligned_forms(std::size_t size, std::align_val_t to) {
  ::operator delete(used_aligned(::operator new(opaque(size), to), size, to), to);
  ::operator delete(used_aligned(::operator new(opaque(size), to), size, to), size, to);
  ::operator delete(used_aligned(::operator new(opaque(size), to, std::nothrow), size, to), to);
  ::operator delete(used_aligned(::operator new(opaque(size), to, std::nothrow), size, to), to, std::nothrow);
  ::operator delete[](used_aligned(::operator new[](opaque(size), to), size, to), to);
  ::operator delete[](used_aligned(::operator new[](opaque(size), to), size, to), size, to);
  ::operator delete[](used_aligned(::operator new[](opaque(size), to, std::nothrow), size, to), to);
  ::operator delete[](used_aligned(::operator new[](opaque(size), to, std::nothrow), size, to), to,
                      std::nothrow);
}

// Alignments that are none: the standard leaves them undefined, the runtime refuses them.
static void odd_alignments() {
  for (std::size_t odd : {0, 3, 24, 100}) {
    const std::align_val_t to{opaque(odd)};
    int thrown = 0;
    try {
      ::operator delete(opaque(::operator new(100, to)), to);
    } catch (const std::bad_alloc &) {
      thrown++;
    }
    try {
      ::operator delete[](opaque(::operator new[](100, to)), to);
    } catch (const std::bad_alloc &) {
      thrown++;
    }
    CHECK(thrown == 2);
    CHECK(opaque(::operator new(100, to, std::nothrow)) == nullptr);
    CHECK(opaque(::operator new[](100, to, std::nothrow)) == nullptr);
  }
}

static void all_forms() {
  static const std::size_t sizes[] = {0, 1, 8, 16, 24, 100, 1000, 5000, 20000, 300000, 5000000};
  for (std::size_t size : sizes) {
    plain_forms(size);
    for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2)
      aligned_forms(size, static_cast<std::align_val_t>(alignment));
  }
  void *empty[] = {::operator new(opaque(std::size_t{0})), ::operator new(opaque(std::size_t{0}))};
  CHECK(empty[0] != empty[1]);
  ::operator delete(empty[0]);
  ::operator delete(empty[1]);
  ::operator delete(opaque(static_cast<void *>(nullptr)));
  ::operator delete[](opaque(static_cast<void *>(nullptr)), std::align_val_t{64});
}

template <typename Allocate>
static bool throws_bad_alloc(Allocate allocate) {
  try {
    allocate();
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

static volatile std::size_t huge_sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1, std::size_t{1} << 60};
static const std::align_val_t to_64{64};

static bool every_throwing_form_throws(std::size_t size) {
  return throws_bad_alloc([=] { opaque(::operator new(size)); }) &&
         throws_bad_alloc([=] { opaque(::operator new[](size)); }) &&
         throws_bad_alloc([=] { opaque(::operator new(size, to_64)); }) &&
         throws_bad_alloc([=] { opaque(::operator new[](size, to_64)); });
}

static bool every_nothrow_form_gives_null(std::size_t size) {
  return opaque(::operator new(size, std::nothrow)) == nullptr &&
         opaque(::operator new[](size, std::nothrow)) == nullptr &&
         opaque(::operator new(size, to_64, std::nothrow)) == nullptr &&
         opaque(::operator new[](size, to_64, std::nothrow)) == nullptr;
}

static int handler_calls;

static void handler_that_gives_up_third_time() {
  if (++handler_calls % 3 == 0) std::set_new_handler(nullptr);
}

struct handler_error {};

static void handler_that_throws() { throw handler_error(); }

static void failures_are_told() {
  for (volatile std::size_t &size : huge_sizes) {
    CHECK(every_throwing_form_throws(size));
    CHECK(every_nothrow_form_gives_null(size));
  }
  std::size_t size = huge_sizes[3];
  handler_calls = 0;
  std::set_new_handler(handler_that_gives_up_third_time);
  CHECK(throws_bad_alloc([=] { opaque(::operator new(size)); }));
  CHECK(handler_calls == 3);
  std::set_new_handler(handler_that_gives_up_third_time);
  CHECK(throws_bad_alloc([=] { opaque(::operator new[](size, to_64)); }));
  CHECK(handler_calls == 6);
  std::set_new_handler(handler_that_gives_up_third_time);
  CHECK(opaque(::operator new(size, std::nothrow)) == nullptr);

  std::set_new_handler(handler_that_throws);
  bool caught = false;
  try {
    opaque(::operator new(size));
  } catch (const handler_error &) {
    caught = true;
  }
  CHECK(caught);
  std::set_new_handler(nullptr);
}

struct alignas(128) wide {
  char bytes[200];
};

static void containers() {
  std::vector<wide> wides(100);
  CHECK(is_aligned(wides.data(), 128));
  std::map<int, std::string> ordered;
  std::unordered_map<std::string, int> hashed;
  std::list<std::unique_ptr<int>> owners;
  std::deque<std::shared_ptr<std::string>> shared;
  for (int i = 0; i < 20000; i++) {
    std::string text = "number " + std::to_string(i) + " in words that need the heap";
    ordered[i * 7919 % 20000] = text;
    hashed[text] = i;
    owners.push_back(std::make_unique<int>(i));
    shared.push_back(std::make_shared<std::string>(text));
  }
  for (int i = 0; i < 20000; i += 2) ordered.erase(i);
  CHECK(ordered.size() == 10000);
  CHECK(hashed["number 777 in words that need the heap"] == 777);
  CHECK(*owners.back() == 19999);
  CHECK(shared[5]->substr(0, 8) == "number 5");
}

struct late_allocator {
  std::vector<std::string> words;

  ~late_allocator() {
    for (int i = 0; i < 100; i++) words.push_back(std::string(100 + i, 'x'));
    CHECK(words.back().size() == 199);
  }
};

static thread_local late_allocator at_thread_end;
static late_allocator at_program_end;

static void thread_locals() {
  for (int round = 0; round < 50; round++) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back([] { at_thread_end.words.emplace_back(1000, 'y'); });
    for (std::thread &thread : threads) thread.join();
  }
  at_program_end.words.emplace_back(1000, 'z');
}

int main() {
  all_forms();
  odd_alignments();
  failures_are_told();
  containers();
  thread_locals();
  return failures != 0;
}
