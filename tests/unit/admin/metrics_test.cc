// A snapshot in Prometheus's text format. (What promtool thinks of it: tests/integration/test_admin.py.)
#include "admin/metrics.h"

#include <gtest/gtest.h>

namespace imapmux::admin {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, ASnapshot) {
  session::Snapshot snapshot;
  snapshot.version = "9.9";
  snapshot.logins = 7;
  snapshot.all.clients_by_state[static_cast<size_t>(session::State::kNotAuthenticated)] = 3;
  auto& server = snapshot.servers.emplace_back();
  server.backend = "old";
  server.server = "a:143";
  server.connections = 5;
  auto& totals = snapshot.all.totals;
  totals.sessions["old"] = 8;
  totals.connections[{"old", "a:143"}][mailbox::ConnectionState::kBusy] = 1;
  totals.connections[{"old", "a:143"}][mailbox::ConnectionState::kFree] = 3;
  const auto text = to_metrics(snapshot, {});
  EXPECT_TRUE(has_line(text, "# TYPE imapmux_logins_total counter")) << text;
  EXPECT_TRUE(has_line(text, R"(imapmux_logins_total{outcome="accepted"} 7)")) << text;
  EXPECT_TRUE(has_line(text, R"(imapmux_client_sessions{state="not_authenticated"} 3)")) << text;
  EXPECT_TRUE(has_line(text, R"(imapmux_backend_connections{backend="old",server="a:143",state="busy"} 1)"));
  // Of 5 that are counted 4 are established.
  EXPECT_TRUE(
      has_line(text, R"(imapmux_backend_connections{backend="old",server="a:143",state="changing"} 1)"));
  EXPECT_TRUE(has_line(text, R"(imapmux_shared_ratio{backend="old"} 2)")) << text;
}

TEST(Metrics, CommandsByNameWithTheirDurations) {
  session::Snapshot snapshot;
  base::Durations durations;
  for (const int millis : {0, 1, 2, 3, 40'000}) durations.add(base::Millis(millis));
  durations.add_to(snapshot.meters.commands[static_cast<size_t>(wire::Verb::kUidFetch)]);
  base::Durations one;
  one.add(base::Millis(5));
  one.add_to(snapshot.meters.commands[static_cast<size_t>(wire::Verb::kUnknown)]);
  const auto text = to_metrics(snapshot, {});
  const std::string bucket = "imapmux_command_duration_seconds_bucket{command=\"UID FETCH\",le=";
  EXPECT_TRUE(has_line(text, bucket + "\"0.001\"} 2")) << text;
  EXPECT_TRUE(has_line(text, bucket + "\"0.002\"} 3")) << text;
  EXPECT_TRUE(has_line(text, bucket + "\"0.004\"} 4")) << text;
  EXPECT_TRUE(has_line(text, bucket + "\"32.768\"} 4")) << text;
  EXPECT_TRUE(has_line(text, bucket + "\"+Inf\"} 5")) << text;
  EXPECT_TRUE(has_line(text, "imapmux_command_duration_seconds_sum{command=\"UID FETCH\"} 40.006")) << text;
  EXPECT_TRUE(has_line(text, "imapmux_command_duration_seconds_count{command=\"other\"} 1")) << text;
  EXPECT_EQ(text.find("\"STORE\""), std::string::npos) << "what nobody has said";
}

TEST(Metrics, TheProcessItself) {
  const auto facts = ProcessFacts::now();
  EXPECT_GT(facts.resident_octets, 1'000'000U);
  EXPECT_GT(facts.virtual_octets, facts.resident_octets);
  EXPECT_GT(facts.started_at, 1.6e9);
  EXPECT_GE(facts.open_descriptors, 3U);
  EXPECT_GE(facts.most_descriptors, facts.open_descriptors);
}

}  // namespace
}  // namespace imapmux::admin
