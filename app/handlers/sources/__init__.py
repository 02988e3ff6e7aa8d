"""A typed handler behind a queue, a stream, a topic, a bus, a bucket or Firehose: each record is a request of its own.

    lambda_handler = sqs_handler(ResizeHandler)             # app.handlers.sources.sqs
    lambda_handler = sqs_handler(ResizeHandler, fifo=True)

    module       function                  the request              a record that fails
    sqs          sqs_handler               the body's JSON          handed back by message id; FIFO: with all behind
    dynamodb     dynamodb_stream_handler   the new, or last, image  the shard resumes at the first one
    kinesis      kinesis_handler           the record's JSON        the spine's: quarantine, or the shard resumes
    sns          sns_handler               the message's JSON       the event fails, and Lambda tries it again
    s3           s3_handler                an `S3Object`            the event fails, and Lambda tries it again
    firehose     firehose_handler          the record's JSON        answered as ProcessingFailed; Firehose keeps it
    eventbridge  eventbridge_handler       the detail               the event fails, and Lambda tries it again

`batch` is what they have in common; `envelope` reads their events. What is handed back, and why, is in
`docs/decisions/0016-batch-sources.md`.
"""
