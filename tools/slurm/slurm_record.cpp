// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/slurm_record.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/data/files/durable_file.h"

namespace gradamp {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kSlurmRecordSchema = 1;

/// The end of every line, with the checksum of the text before it: ,"crc32c":"1234abcd"}
std::string line_end(std::string_view text) {
  return fmt::format(R"(,"crc32c":"{:08x}"}})", crc32c(std::as_bytes(std::span(text))));
}
const std::size_t kLineEnd = line_end("").size();

std::string record_line(const Json& record) {
  std::string text = record.dump();
  text.pop_back();  // its }
  return text + line_end(text);
}

}  // namespace

SlurmRecord::SlurmRecord(std::filesystem::path file, FileSystem& file_system)
    : file_(std::move(file)), file_system_(file_system) {
  const std::optional<std::vector<std::byte>> bytes = read_if_exists(file_, file_system_);
  if (!bytes) return;
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  int number = 1;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n', begin), ++number) {
    try {
      read_line(std::string(text.substr(begin, end - begin)));
    } catch (const std::exception& error) {
      fail(
          "{}:{}: this line is damaged ({}), so the runs that Slurm has cannot be told; delete the file when squeue "
          "lists no job of this folder",
          file_.string(), number, error.what());
    }
    begin = end + 1;
  }
}

void SlurmRecord::read_line(const std::string& line) {
  check(line.size() > kLineEnd && line.ends_with(line_end(std::string_view(line).substr(0, line.size() - kLineEnd))),
        "its checksum differs");
  const Json record = Json::parse(line);
  check(record.at("schema").get<int>() <= kSlurmRecordSchema, "a later release wrote it");
  const auto script = record.at("script").get<std::string>();
  if (record.contains("runs")) {
    Submission submission;
    submission.script = script;
    submission.user = record.at("user").get<unsigned>();
    for (const Json& run : record.at("runs"))
      submission.runs.push_back(
          {run.at(0).get<std::string>(), run.at(1).get<std::size_t>(), run.at(2).get<std::uint32_t>()});
    submissions_.push_back(std::move(submission));
  } else if (record.contains("job")) {
    Submission& submission = submission_of(script);
    submission.job = record.at("job").get<std::string>();
    submission.cluster = record.at("cluster").get<std::string>();
  } else {
    submission_of(script).is_abandoned = record.at("abandoned").get<bool>();
  }
}

Submission& SlurmRecord::submission_of(const std::string& script) {
  const auto found = std::find_if(submissions_.begin(), submissions_.end(),
                                  [&](const Submission& submission) { return submission.script == script; });
  check(found != submissions_.end(), "there is no script '{}'", script);
  return *found;
}

std::string SlurmRecord::new_script(const std::string& kind) const {
  return fmt::format("{}-{}.sh", kind, submissions_.size() + 1);
}

void SlurmRecord::begin(const Submission& submission) {
  Json runs = Json::array();
  for (const SubmittedRun& run : submission.runs) runs.push_back({run.name, run.task, run.settings});
  const Json record = {{"schema", kSlurmRecordSchema},
                       {"script", submission.script},
                       {"user", submission.user},
                       {"runs", std::move(runs)}};
  append_line(file_, record_line(record), file_system_);
  submissions_.push_back(submission);
}

void SlurmRecord::set_job(const std::string& script, const std::string& job, const std::string& cluster) {
  Submission& submission = submission_of(script);
  const Json record = {{"schema", kSlurmRecordSchema}, {"script", script}, {"job", job}, {"cluster", cluster}};
  append_line(file_, record_line(record), file_system_);
  submission.job = job;
  submission.cluster = cluster;
}

void SlurmRecord::abandon(const std::string& script) {
  Submission& submission = submission_of(script);
  append_line(file_, record_line({{"schema", kSlurmRecordSchema}, {"script", script}, {"abandoned", true}}),
              file_system_);
  submission.is_abandoned = true;
}

}  // namespace gradamp
