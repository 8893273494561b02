"""Hooks on the engine client of one API process: masks go in at admission, attestations come out with the first output.

`generate` receives the final token ids of every route, so nothing is tokenised twice and no other way in exists.
"""

from __future__ import annotations

from typing import Any

from steering.engine.mask import MaskError, size
from steering.engine.prompts import check_windows, decode, whole_spans, window_spans
from steering.engine.vllm.table import EXTRA_ARG
from steering.engine.vllm.ticket import CURRENT, Refusal, Ticket


class Admission:
    """Hooks one engine client, once."""

    def __init__(self, client: Any) -> None:
        self.client, self.generate = client, client.generate
        self._waiting: dict[str, Ticket] = {}
        self._process = client.output_processor.process_outputs
        client.generate = self._admit
        client.output_processor.process_outputs = self._process_outputs

    def forget(self, ticket: Ticket) -> None:
        """The request of this ticket has ended."""
        for request in ticket.expected:
            self._waiting.pop(request, None)

    def _admit(self, prompt: Any, sampling_params: Any, request_id: str, *args: Any, **kwargs: Any) -> Any:
        """Replaces `generate`; a plain function, so that a refusal is a real 4xx for streams as well."""
        extra = dict(getattr(sampling_params, "extra_args", None) or {})
        if any(name.startswith(EXTRA_ARG) for name in extra):
            raise ValueError(f"extra argument {EXTRA_ARG} is reserved")
        ticket = CURRENT.get()
        if ticket is not None:
            try:
                spans = self._spans(ticket, prompt)
            except MaskError as error:
                ticket.refusal = Refusal(422, str(error), "lethe_mask")
                raise ValueError(str(error)) from error
            ticket.expected[request_id] = size(spans)
            self._waiting[request_id] = ticket
            order = ticket.order
            sampling_params.extra_args = {**extra, EXTRA_ARG: [order.program, ticket.generation, order.dose, spans]}
        return self.generate(prompt, sampling_params, request_id, *args, **kwargs)

    def _spans(self, ticket: Ticket, prompt: Any) -> list[int]:
        """Flat token spans to corrupt in the next prompt of this ticket."""
        if not isinstance(prompt, dict) or "prompt_token_ids" not in prompt:
            raise MaskError("only text and token-id prompts can be masked")
        ids: list[int] = prompt["prompt_token_ids"]
        whole = whole_spans(len(ids), templated=ticket.templated)
        if ticket.order.mask == "prompt":
            return whole
        number = len(ticket.expected)
        if number >= len(ticket.prompts):
            raise MaskError("more prompts than were announced")
        known, windows = ticket.prompts[number]
        if known is None:
            text, ranges = decode(self._tokenizer(), ids)
            check_windows(text, windows)
            return window_spans(ranges, windows)
        offsets = prompt.get("prompt_token_offsets")
        if offsets is None or prompt.get("prompt") != known:
            # The marks changed what the template wrote, or the tokenizer gives no offsets. A refusal would tell the
            # client that the request was flagged, so everything is masked instead.
            return whole if windows else []
        return window_spans(offsets, windows)

    def _tokenizer(self) -> Any:
        tokenizer = self.client.get_tokenizer() if hasattr(self.client, "get_tokenizer") else None
        return tokenizer or self.client.input_processor.tokenizer

    def _process_outputs(self, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self._waiting:
            states = self.client.output_processor.request_states
            for output in outputs:
                state = states.get(output.request_id)
                parent = state.external_req_id if state is not None else None
                ticket = self._waiting.get(parent) if parent is not None else None
                if ticket is None or parent is None:
                    continue
                record = (output.kv_transfer_params or {}).get("lethe")
                if record is not None:
                    ticket.records[output.request_id], ticket.parents[output.request_id] = record, parent
                    output.kv_transfer_params = None
                elif output.request_id not in ticket.records:
                    ticket.missing = True
        return self._process(outputs, *args, **kwargs)
