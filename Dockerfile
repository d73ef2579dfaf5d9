# regfs, bundle and upload, static, in an image that holds nothing else.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN mkdir /out && CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/ ./cmd/...

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
ENTRYPOINT ["/regfs"]
