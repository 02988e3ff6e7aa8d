// The floor under every row of the benchmark: what Millrace does to an event with a linear model, in C++ on one thread.
//
//   floor EVENT MODEL STREAM [BODIES]
//
// The event's bytes are decoded (simdjson, base64), features become a matrix, one linear prediction is made, results are
// encoded with the same `id` and `source`, and go into PutRecords bodies of 500 whose SHA-256 the signature needs; the
// answer shows the first 100 results. MODEL is a line: name, version, end of its ids, intercept, then a coefficient for
// each of the FEATURES below. BODIES gets the bodies of one pass, a line each, so that they can be held against Millrace's.
// Then each line on standard input runs one more pass, and is answered with its milliseconds of CPU: the whole, then
// decode, predict, encode and hash; the parent process interleaves these passes with its other candidates'.
//
//   g++ -std=c++17 -O3 -march=native -ffp-contract=off floor.cpp -lsimdjson -lcrypto
//
// (A fused multiply-add would round a prediction otherwise than numpy does.)

#include <openssl/sha.h>
#include <simdjson.h>

#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using std::string;
using std::string_view;

constexpr const char* FEATURES[] = {"t1", "t2", "hum", "weather_code"};
constexpr size_t FEATURE_COUNT = 4;
constexpr size_t CALL_RECORDS = 500;  // PutRecords' own limit
constexpr size_t SHOWN = 100;         // results in the answer, as RESPONSE_RESULTS has it

// ---- base64 (RFC 4648), 12 bytes against 16 letters at a time in one SIMD register ----

using Bytes = uint8_t __attribute__((vector_size(16)));
using Words = uint32_t __attribute__((vector_size(16)));

Bytes in_range(Bytes letters, uint8_t low, uint8_t high) { return Bytes((letters >= low) & (letters <= high)); }

constexpr char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Appends the letters of `size` bytes at `to`; both sides need 16 bytes of slack.
char* encode_base64(const uint8_t* from, size_t size, char* to) {
  const Bytes spread = {2, 1, 0, 0xff, 5, 4, 3, 0xff, 8, 7, 6, 0xff, 11, 10, 9, 0xff};
  for (; size >= 12; size -= 12, from += 12, to += 16) {
    Bytes raw;
    memcpy(&raw, from, 16);
    const Words three = Words(__builtin_shuffle(raw, spread & 15));  // the top byte is masked away below
    const Bytes six = Bytes(((three >> 18) & 63) | ((three >> 4) & 0x3f00) | ((three << 10) & 0x3f0000) |
                            ((three << 24) & 0x3f000000));
    const Bytes letters = six + 'A' + (Bytes(six > 25) & ('a' - 'Z' - 1)) + (Bytes(six > 51) & uint8_t('0' - 'z' - 1)) +
                          (Bytes(six > 61) & uint8_t('+' - '9' - 1)) + (Bytes(six > 62) & ('/' - '+' - 1));
    memcpy(to, &letters, 16);
  }
  for (; size > 0; to += 4) {
    const size_t here = size < 3 ? size : 3;
    const uint32_t three = from[0] << 16 | (here > 1 ? from[1] << 8 : 0) | (here > 2 ? from[2] : 0);
    to[0] = ALPHABET[three >> 18], to[1] = ALPHABET[three >> 12 & 63];
    to[2] = here > 1 ? ALPHABET[three >> 6 & 63] : '=', to[3] = here > 2 ? ALPHABET[three & 63] : '=';
    size -= here, from += here;
  }
  return to;
}

int sextet(uint8_t letter) {
  static const auto values = [] {
    std::array<int8_t, 256> made;
    made.fill(-1);
    for (int value = 0; value < 64; ++value) made[uint8_t(ALPHABET[value])] = value;
    return made;
  }();
  if (values[letter] < 0) throw std::runtime_error("base64: alphabet");
  return values[letter];
}

// Strictly decodes letters to `to`; both sides need 16 bytes of slack. Gives the number of bytes.
size_t decode_base64(string_view letters, uint8_t* to) {
  if (letters.size() % 4) throw std::runtime_error("base64: length");
  const uint8_t* from = reinterpret_cast<const uint8_t*>(letters.data());
  size_t size = letters.size(), padding = 0;
  while (padding < 2 && padding < size && from[size - 1 - padding] == '=') ++padding;
  const uint8_t* begin = to;
  const Bytes pack = {2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 0, 0, 0, 0};
  Bytes known = ~Bytes{};
  for (; size >= 16 + 4 * (padding > 0); size -= 16, from += 16, to += 12) {
    Bytes raw;
    memcpy(&raw, from, 16);
    const Bytes upper = in_range(raw, 'A', 'Z'), lower = in_range(raw, 'a', 'z'), digit = in_range(raw, '0', '9');
    const Bytes plus = Bytes(raw == '+'), slash = Bytes(raw == '/');
    known &= upper | lower | digit | plus | slash;
    const Words six = Words((upper & (raw - 'A')) | (lower & (raw - 'a' + 26)) | (digit & (raw - '0' + 52)) |
                            (plus & 62) | (slash & 63));
    const Words three = (six & 63) << 18 | (six & 0x3f00) << 4 | (six & 0x3f0000) >> 10 | six >> 24;
    const Bytes packed = __builtin_shuffle(Bytes(three), pack);
    memcpy(to, &packed, 16);
  }
  for (; size > 0; size -= 4, from += 4, to += 3) {
    const size_t absent = size == 4 ? padding : 0;
    const int three = sextet(from[0]) << 18 | sextet(from[1]) << 12 | (absent < 2 ? sextet(from[2]) << 6 : 0) |
                      (absent < 1 ? sextet(from[3]) : 0);
    to[0] = three >> 16, to[1] = three >> 8, to[2] = three;
  }
  for (int place = 0; place < 16; ++place)
    if (!known[place]) throw std::runtime_error("base64: alphabet");
  return to - begin - padding;
}

// ---- one event ----

struct Model {
  string name, version, end_of_ids;
  double intercept, coefficients[FEATURE_COUNT];
};

struct Milliseconds {
  double decode = 0, predict = 0, encode = 0, hash = 0;
};

struct Row {  // views into the event's own bytes, which outlive it
  string_view key, number, shard, stream;
  string identity;  // the pred_id as its JSON text
};

struct Call {  // a PutRecords body, in a buffer that is kept from event to event as a warm function would
  std::vector<char> buffer;
  size_t size = 0;
  uint8_t digest[SHA256_DIGEST_LENGTH];
};

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

char* put(char* to, string_view text) {
  memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* put_number(char* to, double value) {  // the shortest that reads back the same, and legibly a float
  char* end = std::to_chars(to, to + 32, value).ptr;
  return string_view(to, end - to).find_first_of(".e") == string_view::npos ? put(end, ".0") : end;
}

class Floor {
 public:
  Floor(Model model, string stream) : model_(std::move(model)), stream_(std::move(stream)) {}

  Milliseconds run(const simdjson::padded_string& event) {
    Milliseconds spent;
    double began = cpu_ms(), now;
    const auto lap = [&](double& stage) { now = cpu_ms(), stage = now - began, began = now; };
    decode(event);
    lap(spent.decode);
    predict();
    lap(spent.predict);
    encode();
    lap(spent.encode);
    for (Call& call : calls) SHA256(reinterpret_cast<const uint8_t*>(call.buffer.data()), call.size, call.digest);
    lap(spent.hash);
    return spent;
  }

  std::vector<Call> calls;
  string answer;

 private:
  void decode(const simdjson::padded_string& event) {
    rows_.clear(), features_.clear();
    auto document = events_.iterate(event);
    for (auto record : document["Records"].get_array()) {
      Row row;
      auto kinesis = record["kinesis"];
      row.key = kinesis["partitionKey"].get_string();
      row.number = kinesis["sequenceNumber"].get_string();
      const string_view token = kinesis["data"].raw_json_token();
      const string_view data = token.substr(1, token.rfind('"') - 1);  // an escape in it is no base64 letter
      payload_.resize(data.size() + simdjson::SIMDJSON_PADDING);
      const size_t size = decode_base64(data, payload_.data());
      if (string_view(record["eventSource"].get_string()) != "aws:kinesis") throw std::runtime_error("not Kinesis's");
      const string_view id = record["eventID"].get_string(), arn = record["eventSourceARN"].get_string();
      row.shard = id.substr(0, id.find(':'));
      row.stream = arn.substr(arn.rfind('/') + 1);
      auto value = payloads_.iterate(payload_.data(), size, payload_.size());
      auto features = value["features"];
      for (const char* name : FEATURES) features_.push_back(features[name].get_double());
      const string_view identity = value["pred_id"].raw_json_token();
      row.identity = identity.substr(0, identity.find_last_not_of(" \t\r\n") + 1);
      rows_.push_back(std::move(row));
    }
  }

  void predict() {
    counts_.resize(rows_.size());
    for (size_t row = 0; row < rows_.size(); ++row) {
      double sum = model_.intercept;
      for (size_t place = 0; place < FEATURE_COUNT; ++place)
        sum += features_[row * FEATURE_COUNT + place] * model_.coefficients[place];
      counts_[row] = sum;
    }
  }

  void encode() {
    const string head = "{\"model\":\"" + model_.name + "\",\"version\":\"" + model_.version + "\",\"prediction\":{\"cnt\":";
    const string stage = "/0/" + model_.end_of_ids + "\",\"source\":{\"stream\":\"";
    const string opening = "{\"StreamName\":\"" + stream_ + "\",\"Records\":[";
    answer = "{\"batchItemFailures\":[],\"predictions\":[";
    calls.resize((rows_.size() + CALL_RECORDS - 1) / CALL_RECORDS);
    for (size_t start = 0; start < rows_.size(); start += CALL_RECORDS) {
      const size_t stop = std::min(start + CALL_RECORDS, rows_.size());
      Call& call = calls[start / CALL_RECORDS];
      size_t most = opening.size() + 64;
      for (size_t place = start; place < stop; ++place) most += 2 * most_of(rows_[place], head.size() + stage.size());
      if (call.buffer.size() < most) call.buffer.resize(most);
      char* to = put(call.buffer.data(), opening);
      for (size_t place = start; place < stop; ++place) {
        const Row& row = rows_[place];
        result_.resize(most_of(row, head.size() + stage.size()));
        char* end = put(put_number(put(result_.data(), head), counts_[place]), ",\"pred_id\":");
        end = put(put(put(end, row.identity), "},\"id\":\""), row.stream);
        end = put(put(put(put(put(end, "/"), row.shard), "/"), row.number), stage);
        end = put(put(put(end, row.stream), "\",\"shard\":\""), row.shard);
        end = put(put(put(end, "\",\"sequence_number\":\""), row.number), "\"}}");
        const string_view sealed(result_.data(), end - result_.data());
        if (place < SHOWN) answer.append(place ? "," : "").append(sealed);
        to = put(to, place == start ? "{\"Data\":\"" : ",{\"Data\":\"");
        to = encode_base64(reinterpret_cast<const uint8_t*>(sealed.data()), sealed.size(), to);
        to = put(put(put(to, "\",\"PartitionKey\":\""), row.identity), "\"}");  // these events' ids are numbers
      }
      call.size = put(to, "]}") - call.buffer.data();
    }
    answer += "],\"quarantined\":[]}";
  }

  // No result of the row, nor half of what is written for it, is longer: its names, and 256 bytes of punctuation.
  static size_t most_of(const Row& row, size_t constants) {
    return constants + 2 * row.identity.size() + 2 * (row.stream.size() + row.shard.size() + row.number.size()) + 256;
  }

  Model model_;
  string stream_;
  simdjson::ondemand::parser events_, payloads_;
  std::vector<uint8_t> payload_;
  std::vector<Row> rows_;
  std::vector<char> result_;
  std::vector<double> features_, counts_;
};

int main(int count, char** arguments) {
  if (count < 4) return std::cerr << "usage: floor EVENT MODEL STREAM [BODIES]\n", 2;
  Model model;
  std::ifstream file(arguments[2]);
  file >> model.name >> model.version >> model.end_of_ids >> model.intercept;
  for (double& coefficient : model.coefficients) file >> coefficient;
  if (!file) return std::cerr << "floor: " << arguments[2] << " is not a model\n", 2;
  const simdjson::padded_string event = simdjson::padded_string::load(arguments[1]);
  Floor floor(model, arguments[3]);
  if (count > 4) {
    floor.run(event);
    std::ofstream bodies(arguments[4]);
    for (const Call& call : floor.calls) bodies.write(call.buffer.data(), call.size) << '\n';
  }
  for (string line; std::getline(std::cin, line);) {
    const double began = cpu_ms();
    const Milliseconds spent = floor.run(event);
    std::cout << cpu_ms() - began << ' ' << spent.decode << ' ' << spent.predict << ' ' << spent.encode << ' '
              << spent.hash << std::endl;
  }
}
