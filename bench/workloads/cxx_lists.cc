// std::list, std::deque and std::vector<std::string>: queues that fill and drain, lists that are split and
// merged, and text cut into words and joined again. cxx_lists ITEMS ROUNDS
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <string>
#include <vector>

static uint64_t state = 1;

static uint64_t random_number() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static uint64_t churn_list(size_t items) {
  std::list<uint64_t> low, high;
  for (size_t i = 0; i < items; i++) {
    uint64_t value = random_number() % 1000;
    (value < 500 ? low : high).push_back(value);
  }
  low.remove_if([](uint64_t value) { return value % 3 == 0; });
  low.splice(low.begin(), high);
  low.sort();
  low.unique();
  return low.size() + low.back();
}

static uint64_t churn_deque(size_t items) {
  std::deque<std::string> queue;
  uint64_t sum = 0;
  for (size_t i = 0; i < items; i++) {
    queue.emplace_back(10 + random_number() % 60, 'q');
    if (random_number() % 4 == 0) continue;
    sum += queue.front().size();
    queue.pop_front();
  }
  return sum + queue.size();
}

static uint64_t churn_words(size_t items) {
  std::string text;
  for (size_t i = 0; i < items; i++) text += "word" + std::to_string(random_number() % 100000000000u) + " ";
  std::vector<std::string> words;
  for (size_t at = 0, end; (end = text.find(' ', at)) != std::string::npos; at = end + 1)
    words.push_back(text.substr(at, end - at) + " and its suffix");
  std::sort(words.begin(), words.end());
  uint64_t hash = 0;
  for (const std::string &word : words)
    for (char c : word) hash = hash * 31 + static_cast<unsigned char>(c);
  return hash;
}

int main(int argc, char **argv) {
  size_t items = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 50000;
  size_t rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 10;
  uint64_t sum = 0;
  for (size_t i = 0; i < rounds; i++) sum += churn_list(items) + churn_deque(4 * items) + churn_words(items);
  std::printf("checksum %016llx\n", static_cast<unsigned long long>(sum));
}
