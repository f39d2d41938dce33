// What it costs to tell clients' numbers from the backend's, and to keep the table of a large mailbox.
#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

#include "mailbox/mailbox_view.h"
#include "mailbox/message_table.h"

namespace imapmux::mailbox {
namespace {

constexpr uint32_t kMessages = 100'000;

MessageTable table_of(uint32_t messages) {
  MessageTable table;
  table.grow_to(messages);
  for (uint32_t number = 1; number <= messages; ++number) {
    table.learn_uid(number, 2 * number);
    table.learn_flags(number, "(\\Seen)");
  }
  return table;
}

// A view of it that has not been told of so many expunged messages, all over the mailbox.
struct Haunted {
  explicit Haunted(int64_t ghosts) : table(table_of(kMessages)) {
    view.tell_exists(table.known());
    const auto count = static_cast<uint32_t>(ghosts);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t number = 1 + i * (kMessages / count - 1);
      view.on_expunge(number);
      table.expunge(number);
    }
  }
  MessageTable table;
  MailboxView view;
};

// Another number each time, without a pattern for the branch predictor.
class Numbers {
 public:
  uint32_t next(uint32_t most) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<uint32_t>(state_ >> 33) % most + 1;
  }

 private:
  uint64_t state_ = 1;
};

void number_to_uid(benchmark::State& state) {
  const Haunted haunted(state.range(0));
  Numbers numbers;
  for ([[maybe_unused]] auto _ : state) {
    const uint32_t number = haunted.view.to_table(numbers.next(haunted.view.count()));
    benchmark::DoNotOptimize(number == 0 ? 0 : haunted.table.uid(number));
  }
}
BENCHMARK(number_to_uid)->Arg(0)->Arg(10)->Arg(10'000);

void uid_to_number(benchmark::State& state) {
  const Haunted haunted(state.range(0));
  Numbers numbers;
  for ([[maybe_unused]] auto _ : state) {
    const uint32_t uid = haunted.table.uid(numbers.next(haunted.table.known()));
    benchmark::DoNotOptimize(haunted.view.to_view(haunted.table.number_of(uid)));
  }
}
BENCHMARK(uid_to_number)->Arg(0)->Arg(10)->Arg(10'000);

// As each FETCH response is renumbered.
void backend_number_to_view(benchmark::State& state) {
  const Haunted haunted(state.range(0));
  Numbers numbers;
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(haunted.view.to_view(numbers.next(haunted.table.known())));
}
BENCHMARK(backend_number_to_view)->Arg(0)->Arg(10)->Arg(10'000);

void whole_set_to_uids(benchmark::State& state) {
  const Haunted haunted(state.range(0));
  const auto set = wire::SequenceSet::parse("1:*,5,70000:80000");
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(haunted.view.messages(*set, haunted.table, haunted.view.count()));
}
BENCHMARK(whole_set_to_uids)->Arg(0)->Arg(10)->Arg(10'000);

// One more message, its UID and its flags.
void table_grows_by_one(benchmark::State& state) {
  MessageTable table = table_of(static_cast<uint32_t>(state.range(0)));
  for ([[maybe_unused]] auto _ : state) {
    const uint32_t number = table.exists() + 1;
    table.grow_to(number);
    table.learn_uid(number, 2 * number);
    table.learn_flags(number, "(\\Seen)");
  }
}
// So few that the table does not become another one meanwhile.
BENCHMARK(table_grows_by_one)->Arg(10)->Arg(kMessages)->Iterations(10'000);

// One message in the middle, for the table and ten views; then they are told, and it comes in again behind.
void expunge_in_ten_views(benchmark::State& state) {
  const auto messages = static_cast<uint32_t>(state.range(0));
  MessageTable table = table_of(messages);
  std::array<MailboxView, 10> views;
  std::vector<uint32_t> numbers;
  uint32_t uid = table.last_uid();
  for ([[maybe_unused]] auto _ : state) {
    for (auto& view : views) view.tell_exists(table.known());
    for (auto& view : views) view.on_expunge(messages / 2);
    table.expunge(messages / 2);
    for (auto& view : views) view.tell_expunged(numbers);
    table.grow_to(messages);
    table.learn_uid(messages, ++uid);
  }
}
BENCHMARK(expunge_in_ten_views)->Arg(10)->Arg(kMessages);

// All of a mailbox is expunged from the front while a view is not told: each makes a ghost.
void expunge_ten_thousand_untold(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    MessageTable table = table_of(kMessages);
    MailboxView view;
    view.tell_exists(table.known());
    state.ResumeTiming();
    for (uint32_t number = 1; number <= 10'000; ++number) {
      view.on_expunge(number);
      table.expunge(number);
    }
  }
  state.SetItemsProcessed(state.iterations() * 10'000);
}
BENCHMARK(expunge_ten_thousand_untold)->Unit(benchmark::kMillisecond);

// The backend tells what is known already, as in answer to every poll of flags.
void flags_as_known(benchmark::State& state) {
  MessageTable table = table_of(kMessages);
  Numbers numbers;
  for ([[maybe_unused]] auto _ : state) {
    const uint32_t number = numbers.next(kMessages);
    benchmark::DoNotOptimize(table.learn_uid(number, 2 * number));
    benchmark::DoNotOptimize(table.learn_flags(number, "(\\Seen)"));
  }
}
BENCHMARK(flags_as_known);

// A flag changes and somebody is told.
void flags_change(benchmark::State& state) {
  MessageTable table = table_of(kMessages);
  Numbers numbers;
  std::vector<uint32_t> changed;
  bool seen = true;
  for ([[maybe_unused]] auto _ : state) {
    const uint32_t mark = table.changes();
    seen = !seen;
    table.learn_flags(numbers.next(kMessages), seen ? "(\\Seen)" : "(\\Seen \\Flagged)");
    table.changed_since(mark, changed);
    benchmark::DoNotOptimize(changed.data());
  }
}
BENCHMARK(flags_change);

}  // namespace
}  // namespace imapmux::mailbox
