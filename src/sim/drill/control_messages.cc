// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/control_messages.h"

#include <fmt/format.h>

#include <cstring>

#include "sim/drill/call_arguments.h"
#include "sim/drill/machine.h"

namespace tapir::sim::drill {

namespace {

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

// Linux's struct sock_extended_err (linux/errqueue.h), without the address that may follow.
struct ExtendedError {
  std::uint32_t error_number;
  std::uint8_t origin;
  std::uint8_t type;
  std::uint8_t code;
  std::uint8_t padding;
  std::uint32_t info;
  std::uint32_t data;
};
static_assert(sizeof(ExtendedError) == 16, "the kernel's layout");

// The first of the three stamps of struct scm_timestamping.
struct TimeStamp {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};

std::optional<std::int64_t> number_field(const Expression& structure, std::string_view name) {
  const Field* field = find_field(structure, name);
  if (field == nullptr || field->value.kind != Expression::Kind::kInteger) return std::nullopt;
  return field->value.integer;
}

std::string text_of(const ExpectedControl& control) {
  std::string data;
  switch (control.data) {
    case ExpectedControl::Data::kNumber:
      data = std::to_string(control.number);
      break;
    case ExpectedControl::Data::kExtendedError:
      data = fmt::format("{{ee_errno={}, ee_origin={}, ee_type={}, ee_code={}, ee_info={}, ee_data={}}}",
                         control.error_number, control.origin, control.error_type, control.code, control.info,
                         control.error_data);
      break;
    case ExpectedControl::Data::kTimestamp: {
      const std::int64_t ns = control.timestamp.count();
      data =
          fmt::format("{{scm_sec={}, scm_nsec={}}}", ns / kNanosecondsPerSecond, ns % kNanosecondsPerSecond);
      break;
    }
  }
  return fmt::format("{{cmsg_level={}, cmsg_type={}, cmsg_data={}}}", control.level, control.type, data);
}

// A received message read in the way that the expected one is written.
ExpectedControl read_like(ExpectedControl::Data data, const cmsghdr& header, const std::uint8_t* bytes,
                          std::size_t size, const TimeBase& base) {
  ExpectedControl control;
  control.level = header.cmsg_level;
  control.type = header.cmsg_type;
  control.data = data;
  if (data == ExpectedControl::Data::kExtendedError && size >= sizeof(ExtendedError)) {
    ExtendedError error;
    std::memcpy(&error, bytes, sizeof(error));
    control.error_number = error.error_number;
    control.origin = error.origin;
    control.error_type = error.type;
    control.code = error.code;
    control.info = error.info;
    control.error_data = error.data;
  } else if (data == ExpectedControl::Data::kTimestamp && size >= sizeof(TimeStamp)) {
    TimeStamp stamp;
    std::memcpy(&stamp, bytes, sizeof(stamp));
    const std::int64_t wall = stamp.seconds * kNanosecondsPerSecond + stamp.nanoseconds;
    control.timestamp =
        Duration{wall - static_cast<std::int64_t>(Machine::kWallClockOffset)} - base.start.time_since_epoch();
  } else {
    control.data = ExpectedControl::Data::kNumber;
    if (size >= 4) {
      std::int32_t number;
      std::memcpy(&number, bytes, 4);
      control.number = number;
    } else if (size >= 1) {
      control.number = bytes[0];
    }
  }
  return control;
}

bool same(const ExpectedControl& a, const ExpectedControl& b, const TimeBase& base) {
  if (a.level != b.level || a.type != b.type || a.data != b.data) return false;
  switch (a.data) {
    case ExpectedControl::Data::kNumber:
      return a.number == b.number;
    case ExpectedControl::Data::kExtendedError:
      return a.error_number == b.error_number && a.origin == b.origin && a.error_type == b.error_type &&
             a.code == b.code && a.info == b.info && a.error_data == b.error_data;
    case ExpectedControl::Data::kTimestamp: {
      const Duration off = a.timestamp - b.timestamp;
      return off <= base.tolerance && off >= -base.tolerance;
    }
  }
  return false;
}

}  // namespace

std::expected<std::vector<ExpectedControl>, std::string> expected_controls(const Expression& list) {
  std::vector<ExpectedControl> controls;
  if (list.kind != Expression::Kind::kList)
    return std::unexpected("expected a list of {cmsg_level=, cmsg_type=, cmsg_data=}");
  for (const Expression& item : list.items) {
    ExpectedControl control;
    const auto level = number_field(item, "cmsg_level");
    const auto type = number_field(item, "cmsg_type");
    const Field* data = find_field(item, "cmsg_data");
    if (!level || !type || data == nullptr)
      return std::unexpected("expected {cmsg_level=, cmsg_type=, cmsg_data=}");
    control.level = static_cast<int>(*level);
    control.type = static_cast<int>(*type);
    const Expression& value = data->value;
    if (value.kind == Expression::Kind::kInteger) {
      control.number = value.integer;
    } else if (value.kind == Expression::Kind::kStruct && find_field(value, "scm_sec") != nullptr) {
      control.data = ExpectedControl::Data::kTimestamp;
      control.timestamp = std::chrono::seconds(number_field(value, "scm_sec").value_or(0)) +
                          Duration(number_field(value, "scm_nsec").value_or(0));
    } else if (value.kind == Expression::Kind::kStruct) {
      control.data = ExpectedControl::Data::kExtendedError;
      control.error_number = static_cast<std::uint32_t>(number_field(value, "ee_errno").value_or(0));
      control.origin = static_cast<std::uint8_t>(number_field(value, "ee_origin").value_or(0));
      control.error_type = static_cast<std::uint8_t>(number_field(value, "ee_type").value_or(0));
      control.code = static_cast<std::uint8_t>(number_field(value, "ee_code").value_or(0));
      control.info = static_cast<std::uint32_t>(number_field(value, "ee_info").value_or(0));
      control.error_data = static_cast<std::uint32_t>(number_field(value, "ee_data").value_or(0));
    } else {
      return std::unexpected("cmsg_data must be a number, {ee_errno=...} or {scm_sec=, scm_nsec=}");
    }
    controls.push_back(control);
  }
  return controls;
}

std::optional<ControlDifference> compare_controls(const std::vector<ExpectedControl>& expected,
                                                  const msghdr& message, const TimeBase& base) {
  std::size_t index = 0;
  for (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(header)), ++index) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(header) + CMSG_LEN(0);
    const std::size_t size = header->cmsg_len - CMSG_LEN(0);
    const bool extra = index >= expected.size();
    const auto like = extra ? ExpectedControl::Data::kNumber : expected[index].data;
    const ExpectedControl got = read_like(like, *header, bytes, size, base);
    if (extra)
      return ControlDifference{fmt::format("control message {} is not expected: {}", index + 1, text_of(got)),
                               "nothing", text_of(got)};
    if (!same(expected[index], got, base))
      return ControlDifference{fmt::format("control message {} is {}, expected {}", index + 1, text_of(got),
                                           text_of(expected[index])),
                               text_of(expected[index]), text_of(got)};
  }
  if (index < expected.size())
    return ControlDifference{
        fmt::format("control message {} is missing: {}", index + 1, text_of(expected[index])),
        text_of(expected[index]), "nothing"};
  return std::nullopt;
}

std::expected<std::vector<std::uint8_t>, std::string> control_bytes(const Expression& list) {
  const auto controls = expected_controls(list);
  if (!controls) return std::unexpected(controls.error());
  std::vector<std::uint8_t> bytes(controls->size() * CMSG_SPACE(sizeof(int)));
  std::size_t at = 0;
  for (const ExpectedControl& control : *controls) {
    if (control.data != ExpectedControl::Data::kNumber)
      return std::unexpected("only numbers can be sent in control messages");
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(sizeof(int));
    header.cmsg_level = control.level;
    header.cmsg_type = control.type;
    const auto number = static_cast<std::int32_t>(control.number);
    std::memcpy(bytes.data() + at, &header, sizeof(header));
    std::memcpy(bytes.data() + at + CMSG_LEN(0), &number, sizeof(number));
    at += CMSG_SPACE(sizeof(int));
  }
  return bytes;
}

}  // namespace tapir::sim::drill
