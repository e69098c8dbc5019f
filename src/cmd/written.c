// SPDX-License-Identifier: Apache-2.0
#include "cmd/written.h"

#include <inttypes.h>

#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/show.h"
#include "codec/json.h"

int kvs_cmd_show_written(const struct kvs_args *args, const struct kvs_cmd_written *written)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    struct kvs_slice key = kvs_slice_from_str(args->operands[0]);
    const struct kvs_client_version *version = written->version;
    switch (kvs_cmd_output(args)) {
    case KVS_CMD_OUTPUT_JSON:
        kvs_buf_append_str(&out, "{\"path\":");
        kvs_json_write_string(&out, key);
        kvs_buf_printf(&out, ",\"uuid\":\"%s\",\"timestamp\":%" PRId64 "%s", version->uuid,
                       version->timestamp_ms, written->json);
        kvs_cmd_receipt_append(&out, written->receipt);
        kvs_buf_append_str(&out, "}\n");
        break;
    case KVS_CMD_OUTPUT_HUMAN:
        kvs_buf_printf(&out, "%s ", written->done);
        kvs_show_text(&out, key);
        kvs_buf_printf(&out, "%s, now version %s\n", written->detail, version->uuid);
        break;
    case KVS_CMD_OUTPUT_PLAIN:
        kvs_buf_printf(&out, "%s\n", version->uuid);
        break;
    }
    return kvs_cmd_print(&out);
}
