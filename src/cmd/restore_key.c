// SPDX-License-Identifier: Apache-2.0
// An earlier version of a key becomes the current one again.
#include "cmd/restore_key.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/show.h"
#include "codec/json.h"

enum { REVISION_BEFORE = 2, REVISION_MAX = 1000 };

static int parse_revision(const struct kvs_args *args, uint32_t *ret_revision)
{
    const char *text = kvs_args_value(args, "rev");
    uint64_t number = REVISION_BEFORE;
    if (text && (!kvs_slice_to_u64(kvs_slice_from_str(text), &number) || number == 0 ||
                 number > REVISION_MAX))
        return kvs_cmd_usage_error(args->command,
                                   "--rev '%s' is no revision: 1 is the newest, 2 the one before "
                                   "('kvs history' shows them)",
                                   text);
    *ret_revision = (uint32_t)number;
    return KVS_EXIT_OK;
}

static int show(const struct kvs_args *args, uint32_t revision,
                const struct kvs_client_version *version, const struct kvs_client_receipt *receipt)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    struct kvs_slice key = kvs_slice_from_str(args->operands[0]);
    switch (kvs_cmd_output(args)) {
    case KVS_CMD_OUTPUT_JSON:
        kvs_buf_append_str(&out, "{\"path\":");
        kvs_json_write_string(&out, key);
        kvs_buf_printf(&out, ",\"uuid\":\"%s\",\"timestamp\":%" PRId64 ",\"restored\":%" PRIu32,
                       version->uuid, version->timestamp_ms, revision);
        kvs_cmd_receipt_append(&out, receipt);
        kvs_buf_append_str(&out, "}\n");
        break;
    case KVS_CMD_OUTPUT_HUMAN:
        kvs_buf_append_str(&out, "restored ");
        kvs_show_text(&out, key);
        kvs_buf_printf(&out, " as it was in revision %" PRIu32 ", now version %s\n", revision,
                       version->uuid);
        break;
    case KVS_CMD_OUTPUT_PLAIN:
        kvs_buf_printf(&out, "%s\n", version->uuid);
        break;
    }
    return kvs_cmd_print(&out);
}

int kvs_cmd_restore_key(const struct kvs_args *args)
{
    uint32_t revision = 0;
    struct kvs_client *client = NULL;
    struct kvs_client_receipt receipt;
    const struct kvs_client_put_options options = {
        .ttl = kvs_args_value(args, "ttl"),
        .if_match = kvs_args_value(args, "if-match"),
        .receipt = &receipt,
    };
    int code = kvs_cmd_receipt_read(args, &receipt);
    if (code == KVS_EXIT_OK)
        code = parse_revision(args, &revision);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_version version;
    struct kvs_client_error error;
    if (kvs_client_restore(client, args->operands[0], revision, &options, &version, &error) ==
        KVS_CLIENT_OK)
        code = show(args, revision, &version, &receipt);
    else
        code = kvs_cmd_client_error(&error);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_receipt_check(&receipt, "restored");
    kvs_client_free(client);
    return code;
}
